"""The estimators of `lime_variance.py`, each by its own code, on games whose scores can be looked up."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from captum.attr import Lime

from xai_ext.attr import StratifiedLime
from xai_ext.samplers import Antithetic, Bernoulli

HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Known:
    """A sampler that gives out coalitions drawn before, fair coins."""

    rows: np.ndarray
    group: str = "row"
    _given: list = field(default_factory=list)

    def ask(self, n, size, rng):
        """The next rows."""
        del n, rng
        start = sum(self._given)
        self._given.append(size)
        if start + size > len(self.rows):
            raise ValueError(f"only {len(self.rows)} rows were drawn, asked for {start + size}")
        return self.rows[start : start + size]

    def log_law(self, n):
        """Binomial."""
        return Bernoulli().log_law(n)


def forward(game, output):
    """The game as a function of inputs (k, n): a player is absent where the input is 0."""
    return lambda x: torch.from_numpy(game.scores((x != 0).numpy())[:, output])


def ours(game, output, budget, sampler, seed=0, tol=None, **settings):
    """An `Explanation` with the defaults of `StratifiedLime` but for what is given."""
    (explanation,) = StratifiedLime(forward(game, output), sampler=sampler, **settings).explain(
        game.x, n_samples=budget, perturbations_per_eval=budget, seed=seed, tol=tol
    )
    return explanation


def antithetic(rows):
    """Our default, on fair coins drawn before."""
    return Antithetic(Known(rows))


def captums(game, output, budget, rows=None, seed=0):
    """Coefficients (n,) of Captum's Lime with its own settings; `rows`: fair coins drawn before."""

    def drawn(original, **kwargs):
        del original, kwargs
        yield from torch.from_numpy(rows[:, None].astype(np.int64))

    torch.manual_seed(seed)
    lime = Lime(forward(game, output), perturb_func=None if rows is None else drawn)
    found = lime.attribute(game.x, n_samples=budget, perturbations_per_eval=budget, return_input_shape=False)
    return found[0].double().numpy()


@dataclass(frozen=True)
class Job:
    """One explanation by lime: players, evaluations, seed, labels ordered by probability (0: as they are)."""

    n: int
    budget: int
    seed: int
    top: int = 0


class Peer:
    """lime or lime_stratified in the environment of an interpreter; what was asked before is remembered."""

    def __init__(self, python=sys.executable, *, stratified=False):
        self.python, self.flags = python, ["--stratified"] if stratified else []
        self._rows, self._coefficients = {}, {}

    def rows(self, jobs):
        """The coalitions of each job, (budget, n) bool; the first is the image itself."""
        new = [job for job in dict.fromkeys(jobs) if job not in self._rows]
        self._rows.update(zip(new, self._run(new, {}), strict=True))
        return [self._rows[job] for job in jobs]

    def explained(self, tasks):
        """Coefficients (n,) of each (game, output, job): one label at a time."""
        new = [task for task in dict.fromkeys(tasks) if task not in self._coefficients]
        jobs = [job for _, _, job in new]
        rows = self.rows(jobs)
        scores = [game.scores(drawn)[:, [output]] for (game, output, _), drawn in zip(new, rows, strict=True)]
        found = [coefficients[:, 0] for coefficients in self.coefficients(jobs, scores)]
        self._coefficients.update(zip(new, found, strict=True))
        return [self._coefficients[task] for task in tasks]

    def coefficients(self, jobs, scores):
        """(n, outputs) of each job, given scores (budget, outputs) of its coalitions."""
        return self._run(jobs, {f"scores{i}": s for i, s in enumerate(scores)})

    def _run(self, jobs, scores):
        if not jobs:
            return []
        with tempfile.TemporaryDirectory() as folder:
            given, found = Path(folder) / "jobs.npz", Path(folder) / "results.npz"
            np.savez(given, settings=[(j.n, j.budget, j.seed, j.top) for j in jobs], **scores)
            command = [self.python, "-W", "ignore", str(HERE / "_lime_peer.py"), str(given), str(found), *self.flags]
            # without PYTHONPATH: the packages are those of its own environment
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            subprocess.run(command, check=True, env=environment | {"OMP_NUM_THREADS": "1"})
            with np.load(found) as results:
                return [results[str(i)] for i in range(len(jobs))]
