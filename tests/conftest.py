"""Every test runs on one thread, and no test changes the global generators or pyplot's figures."""

import matplotlib as mpl
import pytest
import torch

mpl.use("Agg")
torch.set_num_threads(1)  # OpenMP threads spin on busy machines


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
