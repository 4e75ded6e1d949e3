"""Masks of unions of tree nodes."""

import numpy as np
import pytest
import torch

from tests.trees import members, random_tree
from xai_ext import Game, MaskedModel
from xai_ext.methods._coalitions import Coalitions, DeviceMasks, HostMasks
from xai_ext.methods._growing import Column


@pytest.fixture(params=["pixels", "regions"])
def labels(request):
    rng = np.random.default_rng(0)
    return rng.permutation(30).reshape(5, 6) if request.param == "pixels" else rng.permutation(60).reshape(6, 10) % 30


def chains(tree, coalitions):
    """Some coalitions of disjoint nodes, and the players they hold."""
    sets = members(tree)
    ids, players = [0, 1], [set(), set(range(30))]
    for first in range(0, 50, 7):
        for second in range(1, 50, 11):
            if not sets[first] & sets[second]:
                inner = coalitions.add([first], [0])
                ids += coalitions.add([second], inner).tolist()
                players.append(sets[first] | sets[second])
    return np.array(ids), players


def test_a_mask_keeps_the_elements_of_the_players(labels):
    tree = random_tree(30, 2)
    coalitions = Coalitions(Game(MaskedModel(lambda x: x, torch.ones(1, 1, *labels.shape)), labels), tree)
    ids, players = chains(tree, coalitions)
    (masks,) = coalitions.masks(ids)
    assert masks.dtype == torch.bool
    for mask, kept in zip(masks.numpy(), players, strict=True):
        np.testing.assert_array_equal(mask, np.isin(labels, list(kept)))


def test_devices_and_the_host_make_the_same_masks(labels):
    tree = random_tree(30, 4)
    position = np.argsort(tree.order)[labels.ravel()]
    node, parent = np.array([-1, tree.root, 3, 40, 7, 2]), np.array([-1, 0, 0, 2, 3, 0])
    sets = members(tree)
    if sets[3] & sets[40] or sets[7] & (sets[3] | sets[40]):
        node[3:5] = next(v for v in range(30, 59) if not sets[v] & {3, 7}), 7
    ids = np.array([4, 0, 1, 5, 2, 3])
    host = HostMasks(position, tree)(ids, node, parent)
    device = DeviceMasks(position, tree, torch.device("cpu"))(ids, node, parent)
    assert torch.equal(host, device)
    assert host[2].all()
    assert not host[1].any()


def test_a_column_keeps_its_rows_while_it_grows():
    column = Column(np.zeros((1, 2)))
    for k in range(1, 200):
        where = column.append(np.full((k % 3, 2), k))
        assert (column.rows[where] == k).all()
    assert len(column) == 1 + sum(k % 3 for k in range(1, 200))
    assert column.rows[0].tolist() == [0, 0]
    assert (np.diff(column.rows[:, 0]) >= 0).all()
