"""Every learner, one table: what must hold for all of them. A learner that is not in LEARNERS does not exist.

The properties of a learner on one task are those of `metarec_jax.testing`; what needs training is here.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import CONSTANT_TARGET, FIRST_ORDER, LEARNERS, LEARNT_VARIANCE, STEPWISE
from trained import (
    LENGTH,
    assert_resuming_is_exact,
    assert_traces_once,
    assert_trains,
    begin,
    fit,
    learner,
    one_task,
    tasks,
    trained,
    trained_half,
)

from metarec_jax.testing import check_learner

# Devices are met in `metarec_jax/train` only: a learner of each family is enough, one that draws random numbers too.
SHARDED = {"protonet_ratings", "maml", "ridge", "tanp"}
PMAPPED = {"maml", "ridge"}


@pytest.fixture(params=LEARNERS)
def name(request) -> str:
    return request.param


def test_it_has_every_property_of_a_learner(name):
    """With trained parameters: fresh ones hold zeros, which hide what they are multiplied with."""
    check_learner(
        learner(name),
        one_task(),
        params=trained(name).best_params,
        exact_gradient=name not in FIRST_ORDER | CONSTANT_TARGET,
        stepwise=name in STEPWISE,
        learnt_variance=name in LEARNT_VARIANCE,
    )


def test_it_trains(name):
    assert_trains(name)


def test_it_traces_once(name):
    assert_traces_once(name)


@pytest.mark.parametrize("name", sorted(LEARNT_VARIANCE))
def test_learnt_variance_is_positive_and_falls_on_average(name):
    """A posterior's variance falls whatever the ratings say. A network has to learn that, which takes it the whole of
    the schedule, and does so for the mean candidate only: ratings that surprise it may well leave it less sure."""
    rule, episodes = learner(name), tasks()[1]
    params = fit(name, begin(name), 40 * LENGTH).best_params
    variance = jax.jit(jax.vmap(lambda support, x: rule.variance(rule.adapt(params, support), x)))
    few = episodes.support._replace(mask=jnp.asarray(episodes.support.mask).at[:, 2:].set(0.0))
    less, more = (np.asarray(variance(part, episodes.query.x)) for part in (few, episodes.support))
    assert more.shape == episodes.query.mask.shape
    assert (more > 0).all()
    assert more.mean() < 0.98 * less.mean()


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_eight_devices_equal_one(name, parallel):
    if name not in (SHARDED if parallel == "jit" else PMAPPED):
        pytest.skip("a learner of each family is trained on eight devices; see SHARDED")
    one = trained_half(name)
    eight = fit(name, begin(name), 2 * LENGTH, devices=8, parallel=parallel)
    chex.assert_trees_all_close(eight.state.params, one.state.params, atol=2e-4, rtol=2e-3)


def test_resuming_is_exact(name, tmp_path):
    assert_resuming_is_exact(name, tmp_path)
