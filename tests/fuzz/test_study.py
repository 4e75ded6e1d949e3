"""Mutated configurations and run folders, arbitrary words on the command line: documented errors only."""

import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("pyarrow")

from tests.strategies import mutated
from xai_ext import cli
from xai_ext._checks import InputError, InputTypeError
from xai_ext.study._rows import part_table
from xai_ext.study._worker import Found
from xai_ext.study.config import Config, as_toml, read_config
from xai_ext.study.store import Store

SETTINGS = as_toml(Config(settings={"rise": {"cells": 5}, "lime": {"sampler": "stratified"}})).encode()
VALUES = st.one_of(st.integers(), st.floats(), st.text(max_size=20), st.booleans(), st.none(), st.lists(st.integers()))
WORDS = st.one_of(
    st.sampled_from(["compare", "bench", "check", "methods", "--json", "--list", "--budget", "--out", "--config"]),
    st.text(max_size=20).filter(lambda word: word != "demo"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(st.data())
def test_a_broken_configuration_is_read_or_refused_in_our_words(folder, data):
    path = folder / "run.toml"
    path.write_bytes(data.draw(mutated(SETTINGS)))
    try:
        as_toml(Config(**read_config(path)))
    except (InputError, InputTypeError) as error:
        assert str(error)


@given(st.dictionaries(st.sampled_from(list(vars(Config()))), VALUES, max_size=3))
@example({"settings": {"rise": 3}})
@example({"budget": "many"})
def test_a_configuration_of_other_types_is_refused(options):
    try:
        as_toml(Config(**options))
    except (InputError, InputTypeError) as error:
        assert str(error)


def rows():
    return [{"dataset": "d", "image_id": "0.png", "kind": "unit", "method": "rise", "metric": "m", "value": 1.0}]


@given(st.data())
def test_a_broken_part_is_set_aside(tmp_path_factory, data):
    store = Store(tmp_path_factory.mktemp("run"))
    store.create()
    store.write_part("b0.parquet", part_table(rows()))
    path = store.parts / "b0.parquet"
    whole = path.read_bytes()
    path.write_bytes(data.draw(mutated(whole)))
    same = path.read_bytes() == whole
    tables, damaged = store.read_parts()
    assert (len(tables), damaged) == ((1, []) if same else (0, ["b0.parquet"]))


@given(st.data())
def test_a_broken_result_of_a_unit_is_whole_or_forgotten(tmp_path_factory, data):
    store = Store(tmp_path_factory.mktemp("run"))
    store.create()
    store.remember("u", Found({"seconds": 1.5}, np.arange(12.0).reshape(3, 4), None, None))
    path = store.open / "u.npz"
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")  # another method of compression is another error in zipfile
    path.write_bytes(data.draw(st.one_of(mutated(content), st.just(content[: at + 10] + b"\x08" + content[at + 11 :]))))
    found = store.recall("u")
    assert found is None or isinstance(found.meta, dict)
    assert found is not None or not path.exists()


@given(st.data())
def test_a_broken_manifest_is_refused_in_our_words(tmp_path_factory, data):
    store = Store(tmp_path_factory.mktemp("run"))
    store.create()
    store.write_manifest({"schema": 1, "dataset": {"name": "d", "list": [1, 2]}})
    store.manifest_path.write_bytes(data.draw(mutated(store.manifest_path.read_bytes())))
    try:
        found = store.manifest()
    except InputError as error:
        assert str(error)
    else:
        assert isinstance(found, dict)


@given(st.data())
def test_a_broken_record_of_a_failure_is_whole_or_forgotten(tmp_path_factory, data):
    store = Store(tmp_path_factory.mktemp("run"))
    store.create()
    store.record(store.failed, "u", {"meta": {"note": "out of memory", "seconds": 1.5}})
    path = store.failed / "u.json"
    path.write_bytes(data.draw(mutated(path.read_bytes())))
    assert all(isinstance(one["meta"]["note"], str) for one in store.recorded(store.failed).values())


@pytest.mark.filterwarnings("ignore")
@given(st.lists(WORDS, min_size=1, max_size=4))
@example(["compare", "--budget", "\0"])
@example(["check", ":"])
@example(["bench", "compare"])
def test_any_words_end_in_a_documented_exit_code(tmp_path_factory, words):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cli")
        patch.chdir(folder)
        if words[0] == "compare":
            words = [*words, "--model", "nothing:here"]  # what is left to refuse when all words are fine
        if words[0] == "methods":
            words = [*words, "--no-such-option"]
        patch.setattr(sys, "argv", ["xai-ext", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert (stop.value.code or 0) in (0, 2, 3)
        assert [path.name for path in folder.iterdir()] == []
