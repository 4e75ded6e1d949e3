"""Every test runs on one thread, and no test changes the global generators or pyplot's figures."""

import os

import matplotlib as mpl
import pytest
import torch
from hypothesis import HealthCheck, settings

mpl.use("Agg")
torch.set_num_threads(1)  # OpenMP threads spin on busy machines

# HYPOTHESIS_PROFILE=nightly python -m pytest tests/fuzz
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("ci", max_examples=25, derandomize=True, deadline=None, suppress_health_check=SLOW)
for name, examples in (("nightly", 1000), ("fuzz", 5000)):
    settings.register_profile(name, max_examples=examples, deadline=None, print_blob=True, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
