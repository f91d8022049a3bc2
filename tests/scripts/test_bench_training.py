"""The benchmark of training steps, on a small table."""

from types import SimpleNamespace

import pytest
from helpers import random_table

from scripts import bench_training


@pytest.mark.parametrize("name", ["maml_network", "ridge"])  # from nothing, and from a fit
def test_a_learner_is_measured_as_it_is_trained(name):
    options = SimpleNamespace(support=2, query=3, batch=4, length=2, rounds=1)
    found = bench_training.measure(name, random_table(0, users=40, items=40, least=6), options)
    assert found["tasks_per_second"] == pytest.approx(4 / found["step_ms"] * 1e3)
    assert all(value > 0 for name, value in found.items() if name != "gradient_share")  # a difference of two times
