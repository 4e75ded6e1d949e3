import socket

import numpy as np
import pytest
import torch

from tests.laws import GeneratorsUntouched
from xai_ext.anomaly import texture_defects

COUNTS = {"n_train": 6, "n_calibration": 5, "n_good": 4, "n_bad": 60, "n_nuisance": 3}


@pytest.fixture(scope="module")
def data():
    return texture_defects("brick", **COUNTS)


def test_an_item_is_the_same_twice_and_under_other_counts(data, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    with GeneratorsUntouched():
        again = texture_defects("brick", n_train=3, n_calibration=9, n_good=2, n_bad=7, n_nuisance=2)
    for name in ("train", "calibration", "good", "bad", "clean", "masks"):
        a, b = getattr(data, name), getattr(again, name)
        n = min(len(a), len(b))
        assert torch.equal(a[:n], b[:n]), name
    assert all(torch.equal(data.nuisance[k][:2], again.nuisance[k]) for k in again.nuisance)


def test_a_defect_changes_its_mask_and_nothing_else(data):
    differs = (data.bad != data.clean)[:, 0]
    assert not differs[~data.masks].any()
    for kind in ("blob", "scratch", "patch"):
        chosen = torch.tensor([k == kind for k in data.kinds])
        assert chosen.sum() == 20
        assert differs[chosen][data.masks[chosen]].double().mean() > 0.95, kind


def test_values_shapes_and_areas_are_as_said(data):
    assert data.bad.shape == (60, 1, 64, 64)
    assert data.bad.dtype == torch.float32
    assert 0 <= data.bad.min() <= data.bad.max() <= 1
    assert ((data.masks.double().mean((1, 2)) > 0.002) & (data.masks.double().mean((1, 2)) < 0.1)).all()


def test_training_crops_come_from_other_rows_than_all_others(data):
    import skimage.data

    photo = skimage.data.brick() / 255.0
    for name, low, high in (("train", 0, 340), ("calibration", 340, 512), ("good", 340, 512), ("clean", 340, 512)):
        for crop in getattr(data, name)[:3, 0].numpy():
            assert found_in(photo[low:high].astype(np.float32), crop), name
            assert not found_in(np.delete(photo, np.s_[low:high], 0).astype(np.float32), crop), name


def found_in(photo, crop):
    """Exactly, mirrored or not?"""
    for image in (crop, crop[:, ::-1]):
        rows, columns = np.nonzero(photo[: -len(crop) + 1, : -len(crop) + 1] == image[0, 0])
        if any(np.array_equal(photo[r : r + 64, c : c + 64], image) for r, c in zip(rows, columns, strict=True)):
            return True
    return False


def test_each_nuisance_is_what_it_says(data):
    other = texture_defects("brick", **COUNTS | {"n_nuisance": 1})
    assert list(data.nuisance) == ["gain", "noise", "gradient", "mark"]
    mark = other.nuisance["mark"][0, 0]
    assert mark[2:8, 2:14].unique().tolist() == pytest.approx([0.05, 0.95])
    step = np.diff(data.nuisance["gradient"][0, 0].mean(0).numpy() - 0, n=1)
    assert step.mean() == pytest.approx(0.24 / 63, abs=0.005)


def test_the_fooled_have_a_mark_and_a_truth_elsewhere(data):
    images, masks = data.fooled()
    assert masks.sum((1, 2)).tolist() == [64] * 3
    assert not masks[:, :8, :14].any()
    changed = (images != data.nuisance["mark"])[:, 0]
    assert not changed[~masks].any()
    torch.testing.assert_close(images[:, 0][masks], 0.98 * data.nuisance["mark"][:, 0][masks])


@pytest.mark.parametrize(
    ("options", "match"),
    [({"texture": "wood"}, "texture must be one of"), ({"size": 200}, "16 and 172"), ({"n_bad": -1}, "at least 0")],
)
def test_bad_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        texture_defects(**{**COUNTS, **options})
