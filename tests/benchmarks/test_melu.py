"""Absolute errors of MeLU's partitions, by hand."""

import numpy as np
import polars as pl
import pytest

from metarec_jax.benchmarks.melu import absolute_errors, summary
from metarec_jax.tasks.melu_split import PARTITIONS


def frame() -> pl.DataFrame:
    """Two users; the first has two ratings, so that a mean over tasks is not one over rows."""
    columns = {"name": ["m"] * 3, "seed": [0] * 3, "user": ["a", "a", "b"], "target": [4.0, 2.0, 1.0]}
    return pl.DataFrame(columns | {"prediction": [3.4, 2.2, 2.4]})


def test_errors_are_means_over_tasks():
    assert absolute_errors(frame())["m"].mean == pytest.approx(((0.6 + 0.2) / 2 + 1.4) / 2)
    assert absolute_errors(frame(), np.arange(1.0, 6.0))["m"].mean == pytest.approx((0.5 + 1.0) / 2)


def test_the_summary_is_a_column_a_partition():
    lines = summary(dict.fromkeys(PARTITIONS, frame())).splitlines()
    assert all(name in lines[0] for name in PARTITIONS)
    assert lines[1].startswith("m  ") and lines[1].count("0.900") == 4
    assert lines[2].startswith("m, nearest rating") and lines[-1].startswith("MeLU, re-implemented")
