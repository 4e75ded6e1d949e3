"""Fixtures of several modules."""

import pytest

from tests.study.bench_runs import write_images


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two data sets, of four and of three images."""
    root = tmp_path_factory.mktemp("data")
    return [str(write_images(root / "a", 4)), str(write_images(root / "b", 3, seed=1))]
