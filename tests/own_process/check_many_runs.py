"""N runs as one program: what is varied, and that every run is in the results."""

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import many_runs
from metarec_jax.data.synthetic.gaussian_world import make_world


@pytest.fixture(autouse=True)
def parsed():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    with flagsaver.flagsaver(learner="maml", dataset="ml-100k"):
        yield


def test_every_value_has_every_seed():
    with flagsaver.flagsaver(vary="inner_lr=0.1,0.2", seeds=3):
        found = many_runs.settings()
    assert [(label, seed, own["inner_lr"]) for label, seed, own, _ in found] == [
        (f"inner_lr={value}", seed, value) for value in (0.1, 0.2) for seed in range(3)
    ]


@pytest.mark.parametrize("text", ["inner_lr", "inner_lr=", "inner_steps=1,2", "nothing=0.1", "inner_lr=0.1,fast"])
def test_what_cannot_be_varied_is_refused(text):
    with flagsaver.flagsaver(vary=text), pytest.raises(ValueError, match="--vary|inner_lr"):
        many_runs.settings()


def test_the_runs_learn_and_differ():
    ratings = make_world(0, users=120, items=50, ratings_per_user=20, dims=2).ratings
    with flagsaver.flagsaver(vary="inner_lr=0.02,0.2", seeds=2, steps=60, shots=["5"], query=5):
        found = many_runs.run(ratings)
        text = many_runs.summary(found)
    final, first = (np.array(found["curves"][at]["valid_rmse"]) for at in (-1, 0))
    assert (final < first).all() and len(set(final)) == 4
    assert [one["valid_rmse"] for one in found["runs"]] == pytest.approx(
        np.min([point["valid_rmse"] for point in found["curves"]], 0).tolist(), abs=1e-6
    )
    assert "inner_lr=0.2" in text and text.count("\n") == 3
