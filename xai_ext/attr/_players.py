"""The players of an example without a feature mask, and the tree over the players of any example."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xai_ext._checks import InputError, check_labels
from xai_ext._forward import on_host
from xai_ext._types import AnyArray, FloatArray, IntArray
from xai_ext.attr._call import numbered
from xai_ext.game import Game
from xai_ext.hierarchies import Hierarchy, axis_aligned, balanced, bpt


@dataclass(frozen=True, eq=False)
class PixelPlayers:
    """Pixels, channels joined, of 4-D inputs, or the regions of a segmentation; scalars of any other input."""

    segmentation: Callable[[FloatArray], Any] | None = None

    def __call__(self, inputs: tuple[Tensor, ...], aggregate: bool) -> tuple[Tensor, ...]:
        if self.segmentation is None:
            return numbered(inputs, [(1, *x.shape[2:]) if x.dim() == 4 else tuple(x.shape[1:]) for x in inputs])
        if len(inputs) > 1 or inputs[0].dim() != 4:
            raise InputError(
                f"segmentation needs one input of shape (N, C, H, W), got {_shapes(inputs)}; fix: feature_mask="
            )
        images = [inputs[0]] if aggregate else [x[None] for x in inputs[0]]
        return (torch.stack([_regions(self.segmentation, x) for x in images])[:, None].to(inputs[0].device),)


def _regions(segmentation: Callable[[FloatArray], Any], x: Tensor) -> Tensor:
    labels = check_labels(torch.as_tensor(segmentation(_channels_last(x).astype(np.float64))))
    if labels.shape != x.shape[2:]:
        raise InputError(
            f"segmentation must return labels of the image's shape (H, W) = {tuple(x.shape[2:])}, "
            f"got {tuple(labels.shape)}"
        )
    return labels.cpu()


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and its players, where a game has this geometry.

    Attributes
    ----------
    image : array (H, W, C)
        In its own dtype; the channels of all examples where the model gives one answer per batch.
    labels : int64 array (H, W)
    """

    image: AnyArray
    labels: IntArray

    @property
    def atoms(self) -> IntArray | None:
        """The labels; None where every pixel is a player."""
        in_order = self.labels.max() == self.labels.size - 1 and (np.diff(self.labels.ravel()) == 1).all()
        return None if in_order else self.labels

    def tree(self, hierarchy: Any) -> Hierarchy:
        """Over its players: "bpt", "axis_aligned" or a function of a float64 image and labels."""
        if hierarchy == "bpt":
            return bpt(self.image, self.atoms)
        if hierarchy == "axis_aligned":
            height, width = self.labels.shape
            return axis_aligned((height, width), self.atoms)
        return self.sized(hierarchy(self.image.astype(np.float64), self.labels))

    def sized(self, tree: Hierarchy) -> Hierarchy:
        """With pixel counts as areas: a linkage from elsewhere knows none, and an undivided node shares by area."""
        counts = np.bincount(self.labels.ravel()).astype(np.float64)
        is_over_players = isinstance(tree, Hierarchy) and tree.n_players == len(counts)
        return replace(tree, areas=counts) if is_over_players else tree  # `owen` says what is wrong with another


def picture(game: Game) -> Picture | None:
    """The image of a game of one 4-D input with the same players on all channels; None for any other."""
    x, labels = game.masked_model.inputs[0], game.labels[0]
    if len(game.labels) > 1 or x.dim() != 4:
        return None
    if labels.ndim == 3:
        if (labels != labels[:1]).any():
            return None
        labels = labels[0]
    return Picture(_channels_last(x), np.array(np.broadcast_to(labels, x.shape[2:])))


def required_picture(game: Game, who: str) -> Picture:
    """`picture`, or an error that says who needs it."""
    found = picture(game)
    if found is None:
        raise InputError(
            f"{who} needs one input of shape (N, C, H, W) whose players are the same on all channels, got "
            f"{_shapes(game.masked_model.inputs)} with players of shapes {[a.shape for a in game.labels]}"
        )
    return found


def tree(game: Game, hierarchy: Any) -> Hierarchy:
    """The tree over a game's players; a balanced one per input, joined, where a name needs an image and has none."""
    if callable(hierarchy):
        return required_picture(game, "hierarchy as a function").tree(hierarchy)
    found = picture(game)
    if isinstance(hierarchy, Hierarchy):
        return hierarchy if found is None else found.sized(hierarchy)
    return joined_trees(game.labels, game.n_players) if found is None else found.tree(hierarchy)


def joined_trees(labels: tuple[IntArray, ...], n: int) -> Hierarchy:
    """A balanced tree per input over the players that no earlier input has, joined one after the other."""
    rows, root, known = [np.empty((0, 4))], -1, np.zeros(n, np.bool_)
    for players in map(np.unique, labels):
        mine = players[~known[players]]
        if not len(mine):
            continue
        known[mine] = True
        start = n + sum(map(len, rows))
        merges = balanced(len(mine)).merges.copy()
        names = np.concatenate([mine, start + np.arange(len(merges))])
        merges[:, :2] = names[merges[:, :2].astype(np.int64)]
        rows.append(merges)
        if root >= 0:
            rows.append(np.array([[root, names[-1], known.sum(), known.sum()]]))
            root = start + len(merges)
        else:
            root = int(names[-1])
    return Hierarchy.from_merges(np.concatenate(rows), structure="balanced")


def _channels_last(x: Tensor) -> AnyArray:
    """Rows (n, C, H, W) as one image (H, W, n * C)."""
    return on_host(x.flatten(0, 1).movedim(0, -1))


def _shapes(inputs: tuple[Tensor, ...]) -> str:
    return ", ".join(str(tuple(x.shape)) for x in inputs)
