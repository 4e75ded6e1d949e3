"""Options: checked, hashed, read from files."""

import tomllib
from dataclasses import replace

import pytest

from xai_ext.study.config import Config, as_toml, read_bench_config, read_config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 3}, "budget must be at least 4"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"metric_steps": 1}, "metric_steps must be at least 2"),
        ({"hosts": "as_is"}, "did you mean 'as-is'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"mask": "a.png", "box": "0,0,1,1"}, "either a mask or boxes"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)


class TestDigest:
    same = (("image", "a.png"), ("methods", "rise"), ("repeats", 9), ("mask", "m.png"))
    other = (("budget", 7), ("baseline", "blur"), ("seed", 1), ("segments", "grid:2x2"), ("hosts", "as-is"),
             ("target", "3"), ("metric_steps", 5), ("metric_baseline", "blur"), ("model", "timm:x"))  # fmt: skip

    @pytest.mark.parametrize(("key", "value"), same)
    def test_image_methods_and_repeats_do_not_count(self, key, value):
        assert replace(Config(), **{key: value}).digest("w") == Config().digest("w")

    @pytest.mark.parametrize(("key", "value"), other)
    def test_everything_else_does(self, key, value):
        assert replace(Config(), **{key: value}).digest("w") != Config().digest("w")

    def test_so_do_the_weights(self):
        assert Config().digest("w") != Config().digest("v")


class TestFiles:
    def read(self, tmp_path, text, name="c.toml", **options):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_config(tmp_path / name, **options)

    def test_toml_and_json(self, tmp_path):
        expected = {"budget": 7, "settings": {"rise": {"cells": 5}}}
        assert self.read(tmp_path, '[compare]\nbudget = 7\n[methods."rise"]\ncells = 5\n') == expected
        assert (
            self.read(tmp_path, '{"compare": {"budget": 7}, "methods": {"rise": {"cells": 5}}}', "c.json") == expected
        )

    def test_what_is_printed_is_read_again(self, tmp_path):
        config = Config(image='a "b".png', target="Zürich, top1", box="0,0,3,3", settings={"rise": {"cells": 5}})
        text = as_toml(config)
        tomllib.loads(text)
        assert Config(**self.read(tmp_path, text)) == config

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[compare]\nbugdet = 7", "did you mean 'budget'"),
            ("[comparer]\nbudget = 7", "did you mean 'compare'"),
            ("budget = = 7", "cannot be read"),
            ("compare = 3", "must hold tables"),
            ('[compare]\nmodel = "my.module:make"', "names code to run"),
            ('[compare]\nmethods = "ours,my.module:make"', "names code to run"),
            ('[compare]\nsegments = "my.module:cut"', "names code to run"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, text, message):
        with pytest.raises(ValueError, match=message):
            self.read(tmp_path, text)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(ValueError, match="there is no file"):
            read_config(tmp_path / "none.toml")

    @pytest.mark.parametrize(
        "text",
        ['model = "timm:resnet18"', 'methods = "rise:cells=7,captum.*"', 'segments = "grid:3x3"', 'segments = "a.npy"'],
    )
    def test_what_runs_no_code_needs_no_permission(self, tmp_path, text):
        assert self.read(tmp_path, f"[compare]\n{text}")

    def test_code_runs_with_permission(self, tmp_path):
        assert self.read(tmp_path, '[compare]\nmodel = "my.module:make"', allow_import=True)


class TestBenchFiles:
    def read(self, tmp_path, text):
        (tmp_path / "c.toml").write_text(text, encoding="utf-8")
        return read_bench_config(tmp_path / "c.toml")

    def test_lists_become_tuples_and_the_table_of_compare_is_left_alone(self, tmp_path):
        text = '[bench]\ndata = ["photos"]\nworkers = 2\nbaselines = ["zero", "blur"]\n[compare]\nbudget = 7'
        assert self.read(tmp_path, text) == {"data": ("photos",), "workers": 2, "baselines": ("zero", "blur")}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[bench]\nworker = 7", "did you mean 'workers'"),
            ("bench = 3", "must hold tables"),
            ('[bench]\nmodels = ["efficientnet_lite0", "my.module:make"]', "names code to run"),
            ('[bench]\nmodels = "efficientnet_lite0, my.module:make"', "names code to run"),
            ('[bench]\nbudget = 7\n[methods."rise"]\ncells = 5', "by a method's name alone"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, text, message):
        with pytest.raises(ValueError, match=message):
            self.read(tmp_path, text)
