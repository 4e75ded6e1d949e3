"""The runs of one photo on processes: the same numbers, whatever happens to the processes."""

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.study.bench_runs import of_session
from tests.study.test_compare import by_name, timeless
from tests.test_cli import FAST, command, run
from tests.tiny_models import broken
from xai_ext._batching import Plan, fix_plan, measured_plan
from xai_ext.study import _photo_runs, compare
from xai_ext.study._photo_workers import PhotoWorker, Run, photo_setup
from xai_ext.study._progress import Display, Stop
from xai_ext.study.compare import set_up
from xai_ext.study.config import Config, read_config
from xai_ext.study.methods import choose_methods

MODELS = "tests.study.small_models"
FIXED = {"model": f"{MODELS}:tiny", "budget": 20, "segments": "grid:4x4", "metric_steps": 3, "batch_size": 4,
         "repeats": 2}  # fmt: skip
METHODS = "ours,captum.Saliency,captum.IntegratedGradients,captum.LRP,reference,tests.tiny_models:broken"


@pytest.fixture(scope="module")
def both():
    """In this process and on two."""
    options = FIXED | {"methods": METHODS, "target": "top2", "settings": {"rise": {"cells": 3}}}
    return compare(threads=1, **options), compare(threads=1, workers=2, **options)


def in_full(result):
    """All that is kept, but times."""
    curves = {name: {k: [v.tolist() for v in pair] for k, pair in c.items()} for name, c in result.curves.items()}
    maps = {name: (values.dtype, values.tobytes()) for name, values in result.maps.items()}
    return timeless(result), list(result.maps), maps, curves


def test_two_workers_find_what_one_process_finds_bit_for_bit(both):
    serial, spread = both
    assert in_full(spread) == in_full(serial)
    assert in_full(spread.further[0]) == in_full(serial.further[0])
    assert {s.status for s in spread.scores} == {"ok", "failed", "unsupported"}
    assert spread.config.workers == 2
    assert spread.verdict == serial.verdict


def test_an_error_of_a_method_keeps_its_traceback_and_the_others(both):
    failed = by_name(both[1])["broken"]
    assert (failed.status, failed.note) == ("failed", "RuntimeError: broken")
    assert "on purpose" in failed.error


def test_threads_are_one_per_worker_where_nothing_is_said(both):
    alone = compare(workers=1, methods="rise", **FIXED)
    assert alone.threads == 1
    np.testing.assert_array_equal(alone.maps["rise"], compare(threads=1, methods="rise", **FIXED).maps["rise"])


def test_workers_take_the_batches_and_the_format_that_were_measured_here():
    methods = choose_methods("rise")
    with set_up(Config(**FIXED | {"batch_size": None, "threads": 1}), methods) as setup:
        module, (scene,) = setup.classifier.module, setup.scenes
        fix_plan(module, Plan(3, torch.channels_last))
        worker = PhotoWorker(photo_setup(setup.config, "rise", setup.terms, setup.scenes, 1))
        (sent,) = worker._scenes
        assert measured_plan(sent.classifier.module, (sent.x,)) == Plan(3, torch.channels_last)
        assert sent.batch_size == scene.batch_size
        assert torch.equal(sent.x, scene.x)
        assert sent.classifier.module is not module


def test_a_method_that_kills_its_worker_three_times_has_failed_and_the_others_go_on():
    result = compare(workers=2, methods=f"{MODELS}:deadly,rise,center", **FIXED)
    scores = by_name(result)
    assert (scores["deadly"].status, scores["deadly"].note) == ("failed", "its worker died 3 times (exit 7)")
    assert scores["rise"].status == scores["center"].status == "ok"
    assert scores["rise"].runs == 2


def test_a_run_whose_worker_was_killed_is_tried_again(monkeypatch):
    options = FIXED | {"model": f"{MODELS}:slow_in_workers", "methods": "rise,center", "budget": 8, "threads": 1}
    engines, make = [], _photo_runs.Processes
    monkeypatch.setattr(_photo_runs, "Processes", lambda *given: engines.append(make(*given)) or engines[0])
    killed = []

    def kill_one():
        while not (engines and engines[0].pids):
            time.sleep(0.01)
        killed.append(engines[0].pids[min(engines[0].pids)])
        time.sleep(0.1)
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    spread = compare(workers=2, **options)
    killer.join()
    assert len(killed) == 1
    assert engines[0]._next == 3  # started
    assert in_full(spread) == in_full(compare(**options))


class TestRefused:
    def test_methods_as_objects(self):
        with pytest.raises(ValueError, match=r'got objects: broken; fix: "module:callable"'):
            compare(workers=2, methods=["rise", broken()], **FIXED)

    def test_names_in_a_list_are_not(self):
        result = compare(workers=1, methods=["center", "random"], **FIXED)
        assert set(result.maps) == {"center", "random"}

    @pytest.mark.parametrize(
        ("model", "message"), [("unseeded", "other weights in each process"), ("only_here", "(?s)die.*not in a worker")]
    )
    def test_models_that_workers_cannot_have(self, model, message):
        with pytest.raises(ValueError, match=message):
            compare(workers=1, methods="center", **FIXED | {"model": f"{MODELS}:{model}"})

    @pytest.mark.parametrize("workers", [-1, 1.5, True])
    def test_other_numbers(self, workers):
        with pytest.raises((ValueError, TypeError), match="workers must be"):
            Config(workers=workers)


class TestOptions:
    def test_files_may_have_it_and_no_digest_does(self, tmp_path):
        (tmp_path / "c.toml").write_text("[compare]\nworkers = 2\n")
        assert read_config(tmp_path / "c.toml") == {"workers": 2}
        assert Config(workers=2).digest("w") == Config().digest("w")

    def test_the_time_is_shared_by_as_many_as_have_something_to_do(self):
        for workers, methods, share in ((0, "random", 1), (2, "random", 2), (4, "center", 1)):
            with set_up(Config(workers=workers, **FIXED), choose_methods(methods)) as setup:
                assert setup.eta == pytest.approx(setup.total * setup.seconds_per_row / share)
                assert setup.workers == min(workers, len(setup.runs))
                assert (f"on {setup.workers} workers" in setup.table()) == (workers > 0)

    def test_rows_and_lines_are_shown_as_in_one_process(self, capsys):
        shown = []
        for workers in (0, 2):
            compare(workers=workers, methods="captum.Saliency,random", progress="bar", **FIXED)
            err = capsys.readouterr().err
            shown.append((sorted(re.findall(r"(captum.Saliency|random) .*SRG", err)), re.findall(r"\d+/\d+", err)[-1]))
        assert shown[0] == shown[1]
        assert shown[0][0] == ["captum.Saliency", "random"]

    def test_a_plan_takes_them_into_account(self, monkeypatch, tmp_path, capsys):
        assert run(monkeypatch, "compare", *FAST, "--workers", "2", "--dry-run", "--out", tmp_path / "out") == 0
        assert "on 2 workers" in capsys.readouterr().out


class TestBook:
    """Results that come in any order."""

    @pytest.fixture
    def book(self):
        with set_up(Config(**FIXED), choose_methods("random")) as setup:
            yield _photo_runs._Book(setup, Display("none", 1, 1.0, Stop()))

    def test_repeats_stand_in_order(self, book):
        for repeat in (2, 0, 1):
            book.receive(Run(0, "random", repeat), {"status": "ok", "values": np.ones((2, 2))})
        assert [r.repeat for r in book.found[0]["random"]] == [0, 1, 2]

    def test_only_what_comes_behind_a_failure_is_lost(self, book):
        book.receive(Run(0, "random", 1), {"status": "failed"})
        assert [book.is_lost(Run(0, "random", repeat)) for repeat in (0, 1, 2)] == [False, False, True]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_finished_and_leaves_nobody(tmp_path, number, code):
    methods = ["--methods", "center,lime.Image,tests.tiny_models:slow", "--workers", "2", "--progress", "plain"]
    model = ["--model", f"{MODELS}:tiny", "--budget", "20", "--no-report", "--json", "--out", tmp_path]
    process = command("compare", *methods, *model, start_new_session=True)
    for line in process.stderr:  # the slow method comes last and never ends
        if line.startswith("lime.Image"):
            break
    time.sleep(0.5)
    (os.killpg if number is signal.SIGINT else os.kill)(process.pid, number)  # a terminal asks all of them
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    status = {m["name"]: m["status"] for m in json.loads(out)["methods"]}
    assert status == {"center": "ok", "lime.Image": "ok", "slow": "interrupted"}
    assert "leaked" not in err  # semaphores of tqdm
    deadline = time.monotonic() + 5
    while of_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert of_session(process.pid) == []
