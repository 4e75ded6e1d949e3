"""Mutated files: documented errors only, and nothing is written."""

import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from tests.anomaly.worlds import images
from tests.strategies import mutated
from xai_ext._checks import InputError, InputTypeError
from xai_ext._io import load_array, load_config, load_state
from xai_ext.anomaly import VAEGAN, AnomalyScore, ReconstructionScore
from xai_ext.hierarchies import Hierarchy
from xai_ext.study._given_labels import labels_from_file
from xai_ext.study.inputs import read_image, read_mask


def saved(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 3)).astype(np.uint8))
LABELS = Image.fromarray((np.arange(63) % 5).reshape(9, 7).astype(np.uint8))
MASK = Image.fromarray((np.arange(63) % 5 == 0).reshape(9, 7))
FILES = {
    "state.safetensors": (save({"a": torch.ones(2, 3), "b": torch.zeros(1)}), load_state),
    "state.pt": (saved(lambda f: torch.save({"a": torch.ones(2, 3)}, f)), load_state),
    "array.npy": (saved(lambda f: np.save(f, np.ones((2, 3)))), lambda path: load_array(path, 2)),
    "run.json": (json.dumps({"budget": 3, "list": [1, {"a": "b"}]}).encode(), load_config),
    "run.toml": (b'budget = 3\n[more]\nname = "x"\nlist = [1, 2]\n', load_config),
    "photo.png": (saved(lambda f: PICTURE.save(f, "PNG")), lambda path: read_image(str(path))),
    "photo.jpg": (saved(lambda f: PICTURE.save(f, "JPEG")), lambda path: read_image(str(path))),
    "photo.tif": (saved(lambda f: PICTURE.save(f, "TIFF")), lambda path: read_image(str(path))),
    "photo.webp": (saved(lambda f: PICTURE.save(f, "WEBP")), lambda path: read_image(str(path))),
    "photo.bmp": (saved(lambda f: PICTURE.save(f, "BMP")), lambda path: read_image(str(path))),
    "mask.png": (saved(lambda f: MASK.save(f, "PNG")), lambda path: read_mask(str(path), "photo.png", (7, 9))),
    "labels.png": (saved(lambda f: LABELS.save(f, "PNG")), lambda path: labels_from_file(str(path), (9, 7))),
    "labels.npy": (saved(lambda f: np.save(f, np.asarray(LABELS))), lambda path: labels_from_file(str(path), (9, 7))),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
@given(st.data())
def test_a_broken_file_is_read_or_refused_in_our_words(name, tmp_path_factory, data):
    content, load = FILES[name]
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(data.draw(mutated(content)))
    before = set(folder.iterdir())
    try:
        load(path)
    except InputError as error:
        assert str(error)
    assert set(folder.iterdir()) == before


@pytest.fixture(scope="module")
def score_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VAEGAN(size=4, widths=(2,), latent=2, hidden=3).eval()
    ReconstructionScore(network, smooth=0.5).calibrate(images(20, height=4, width=4)).save(folder)
    network.save(folder / "network.safetensors")
    return folder, {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["score.json", "score.safetensors", "network.safetensors"])
@given(st.data())
def test_a_broken_score_or_network_is_read_and_works_or_is_refused_in_our_words(score_files, name, data):
    folder, files = score_files
    for other, content in files.items():
        (folder / other).write_bytes(data.draw(mutated(content)) if other == name else content)
    try:
        if name.startswith("network"):
            VAEGAN.load(folder / name)
        else:
            AnomalyScore.load(folder)
    except (InputError, InputTypeError) as error:
        assert str(error)


def test_a_described_network_takes_no_memory_before_its_weights_fit(score_files):
    folder, files = score_files
    described = json.loads(files["score.json"])
    described["model"]["preset"] |= {"hidden": 10**9, "latent": 10**9}  # 8 exabytes
    (folder / "score.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="do not fit the network"):
        AnomalyScore.load(folder)


@given(st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=4, max_size=4), max_size=6))
def test_any_table_is_a_tree_or_refused(rows):
    try:
        tree = Hierarchy.from_merges(np.array(rows, dtype=float).reshape(-1, 4))
    except InputError:
        return
    assert tree.n_players == len(rows) + 1
