"""Folders, tables, masks, boxes, limits."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.study.bench_runs import write_images
from xai_ext.study import data as data_module
from xai_ext.study.data import SAMPLES, Reading, data_digest, drawn_boxes, read_data


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "set", 4)


def table(folder, *lines):
    path = folder.parent / "images.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def ids(items):
    return [(i.dataset, i.image_id, i.target) for i in items]


def test_a_flat_folder(folder):
    (folder / "notes.txt").write_text("no image")
    assert ids(read_data([str(folder)])) == [("set", f"{i}.png", "") for i in range(4)]


def test_folders_of_classes_are_targets(tmp_path):
    for name in ("bee", "ant"):
        write_images(tmp_path / "set" / name, 1)
    found = read_data([f"insects={tmp_path / 'set'}"])
    assert ids(found) == [("insects", "ant/0.png", "ant"), ("insects", "bee/0.png", "bee")]


def test_a_table_names_everything(folder):
    path = table(folder, "path,image_id,target,mask,boxes,dataset", "set/1.png,one,bee,,\"1,2,3,4;5,6,7,8\",x",
                 "set/0.png,,,set/2.png,,")  # fmt: skip
    first, second = read_data([path])
    assert (first.dataset, first.image_id, first.mask) == ("images", "set/0.png", "set/2.png")
    assert (second.dataset, second.image_id, second.target, second.boxes) == ("x", "one", "bee", "1,2,3,4;5,6,7,8")


def test_columns_may_have_other_names(folder):
    path = table(folder, "file,label", "set/1.png,bee")
    found = read_data([path], Reading(columns={"path": "file", "target": "label"}))
    assert ids(found) == [("images", "set/1.png", "bee")]
    with pytest.raises(ValueError, match="has no column path; it has file, label; fix: --columns path=COLUMN"):
        read_data([path])
    with pytest.raises(ValueError, match="did you mean 'target'"):
        read_data([path], Reading(columns={"targt": "label"}))


def test_a_table_reads_nothing_outside_its_folder(folder, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "images.csv").write_text("path\n../set/1.png\n")
    with pytest.raises(ValueError, match="does not lie below the table's folder; fix: --allow-outside"):
        read_data([str(inner / "images.csv")])
    assert len(read_data([str(inner / "images.csv")], Reading(allow_outside=True))) == 1


def test_a_limit_draws_the_same_images_whatever_their_order(tmp_path):
    folder = write_images(tmp_path / "set", 12)
    found = read_data([str(folder)], Reading(limit=4, seed=3))
    assert len(found) == 4
    assert ids(found) == ids(read_data([str(folder)], Reading(limit=4, seed=3)))
    assert ids(found) != ids(read_data([str(folder)], Reading(limit=4, seed=4)))


def test_known_files_are_not_read_again_until_they_change(folder, monkeypatch):
    known = read_data([str(folder)])
    read = []
    plain = data_module._bytes
    monkeypatch.setattr(data_module, "_bytes", lambda path: read.append(path.name) or plain(path))
    again = read_data([str(folder)], known=known)
    assert read == []
    assert data_digest(again) == data_digest(known)
    Image.new("RGB", (16, 16)).save(folder / "2.png")
    os.utime(folder / "2.png", ns=(1, 1))
    changed = read_data([str(folder)], known=known)
    assert read == ["2.png"]
    assert data_digest(changed) != data_digest(known)


def test_two_images_of_one_name_are_refused(folder):
    path = table(folder, "path,image_id", "set/1.png,a", "set/2.png,a")
    with pytest.raises(ValueError, match="two images are called 'a' in the data set 'images'"):
        read_data([path])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,mask,boxes", 'set/1.png,set/2.png,"0,0,1,1"'], "has a mask and boxes"),
        (["path", "set/9.png"], "there is no file set/9.png of the data set 'images'"),
    ],
)
def test_what_is_wrong_is_said(lines, message, folder):
    with pytest.raises(ValueError, match=message):
        read_data([table(folder, *lines)])


def test_a_source_without_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there is no image in"):
        read_data([str(tmp_path / "empty")])
    with pytest.raises(ValueError, match="there is no folder or table"):
        read_data([str(tmp_path / "none")])


def test_boxes_are_half_open():
    mask = drawn_boxes("1,0,3,2;4,3,5,4", (6, 4))
    expected = np.zeros((4, 6), bool)
    expected[0:2, 1:3] = True
    expected[3, 4] = True
    np.testing.assert_array_equal(mask, expected)
    for boxes in ("0,0,7,1", "2,2,2,3", "1,2,3"):
        with pytest.raises(ValueError, match="box"):
            drawn_boxes(boxes, (6, 4))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_installed_photos_are_installed(name):
    found = read_data([name])
    assert len(found) == len(SAMPLES[name])
    assert {i.dataset for i in found} == {name}
    assert all(len(i.sha256) == 64 for i in found)
