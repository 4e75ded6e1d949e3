"""CPU time of LIME beside the model; what several classes and forward selection cost."""

import contextlib
import io
import subprocess
import sys

import numpy as np
import torch
from _timing import SIDE, Free, demo_network, median, plain_forwards, timed
from engine import captums, limes, ours, problem
from lime.lime_base import LimeBase
from owen_accuracy import verdict

from xai_ext import Game, MaskedModel
from xai_ext.lime_image import StratifiedLimeImageExplainer
from xai_ext.methods._rows import Rows
from xai_ext.methods._select import select
from xai_ext.methods.lime import Cosine, lime

EVALUATIONS = 1000
PEERS = ("lime 0.2.0.1", "lime_stratified 0.0.1", "captum Lime")
DROP_IN = "xai_ext, lime's drop-in"
LEAST = {"xai_ext": dict.fromkeys(PEERS, 10.0), DROP_IN: {"lime 0.2.0.1": 2.0}}


def drop_in(module, x, labels, n, seed):
    """Our version of lime's explainer, on the same regions."""

    def predict(images):
        with torch.no_grad():
            return module(torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).float()).numpy()

    image = np.ascontiguousarray(x[0].movedim(0, -1))
    with contextlib.redirect_stderr(io.StringIO()):
        StratifiedLimeImageExplainer(random_state=seed).explain_instance(
            image, predict, labels=(0,), top_labels=None, hide_color=0.0, num_samples=n,
            segmentation_fn=lambda _: labels.numpy(),
        )  # fmt: skip


def outside(rounds, lime_stratified):
    """Interleaved: {name: CPU ms per evaluation of a free model}, medians."""
    free, cpus = Free().eval(), {}
    for method in (ours, drop_in, captums):
        method(free, *problem(), 50, 0)
    for seed in range(rounds):
        for name, method in (("xai_ext", ours), (DROP_IN, drop_in), ("captum Lime", captums)):
            cpu = timed(lambda m=method, s=seed: m(free, *problem(), EVALUATIONS, s)).cpu
            cpus.setdefault(name, []).append(cpu / EVALUATIONS * 1e3)
        for name, python, flags in _limes(lime_stratified):
            cpus.setdefault(name, []).append(limes(python, EVALUATIONS, 1, "--only-cpu", *flags)["cpu_ms"])
    return {name: median(values) for name, values in cpus.items()}


def _limes(lime_stratified):
    yield "lime 0.2.0.1", sys.executable, ()
    if lime_stratified:
        yield "lime_stratified 0.0.1", lime_stratified, ("--stratified",)


def three_classes(rounds):
    """Time of three classes over that of one, EfficientNet-Lite0: its forwards and our CPU time with a free model."""
    x, labels = problem()

    def own(outputs, seed):
        game = Game(MaskedModel(lambda images: images[:, 0, :3, 0], x, batch_size=8), labels)
        return timed(lambda: lime(game, budget=EVALUATIONS, outputs=outputs, rng=seed)).cpu

    network = demo_network()
    plain_forwards(network, 32)
    plain = timed(lambda: plain_forwards(network, 64)).cpu / 64 * EVALUATIONS
    return median([(plain + own([0, 1, 2], seed)) / (plain + own(0, seed)) for seed in range(rounds)])


def forward_selection(rounds):
    """Our CPU time over lime's, 6 of 100 players, 1,000 rows."""
    rng = np.random.default_rng(0)
    coalitions = rng.random((EVALUATIONS, 100)) < 0.5
    scores, weights = coalitions @ rng.normal(size=100) + rng.normal(size=EVALUATIONS), Cosine()(coalitions)
    rows, theirs = Rows(coalitions, scores[:, None], weights, 0), LimeBase(lambda d: d)
    data = coalitions.astype(float)
    ratios = []
    for _ in range(rounds):
        own = timed(lambda: select(rows, 6, "forward")).cpu
        ratios.append(own / timed(lambda: theirs.forward_selection(data, scores, weights, 6)).cpu)
    return median(ratios)


def memory_growth():
    """Growth of the peak memory between 1,000 and 10,000 evaluations, MB; in a fresh process."""
    script = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); torch.set_num_threads(1)\n"
        "from engine import *\nfrom _timing import peak_memory\n"
        "free = Free().eval(); ours(free, *problem(), 1000, 0); before = peak_memory()\n"
        "ours(free, *problem(), 10000, 0); print((peak_memory() - before) / 2**20)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, sys.path[0]]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


def print_costs(rounds, lime_stratified):
    """The table and the limits."""
    cpus = outside(rounds, lime_stratified)
    print(f"\nCPU ms per evaluation outside the model, {EVALUATIONS:,} evaluations, {SIDE} x {SIDE}, 100 regions")
    for name, milliseconds in cpus.items():
        print(f"{name:28}{milliseconds:8.3f}")
    for own, least in LEAST.items():
        for peer, factor in least.items():
            if peer in cpus:
                ratio = cpus[peer] / cpus[own]
                print(f"{peer} / {own}: {ratio:.1f} (at least {factor:g}) {verdict(ratio >= factor)}")
    three, forward = three_classes(rounds), forward_selection(rounds)
    print(f"three classes / one: {three:.3f} (at most 1.02) {verdict(three <= 1.02)}")
    print(f"forward selection / lime's: 1/{1 / forward:.0f} (at most 1/20) {verdict(forward <= 1 / 20)}")
    print(f"peak memory, 1,000 -> 10,000 evaluations: +{memory_growth():.0f} MB")
