"""Every learner as a classifier, one table: what must hold for all of them beside `test_conformance.py`.

The classes of an episode are three Gaussians that differ in one direction of eight, in random order.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import CLASSIFIERS, FIRST_ORDER, STEPWISE, TRANSDUCTIVE, WAYS

from metarec_jax.eval.predict import fixed_tasks, raw_predictions
from metarec_jax.testing import check_learner
from metarec_jax.train import loop, step
from metarec_jax.train.optimisers import adam
from metarec_jax.types import Episode, Examples, Learner, Params, Tasks

SHOTS, QUERY, LENGTH = 2, 4, 100


def sample(data, key) -> Episode:
    del data
    centre_key, noise_key = jax.random.split(key)
    centres = jax.random.normal(centre_key, (WAYS, 8)) * jnp.array([3.0] + [0.2] * 7)
    y = jnp.tile(jnp.arange(WAYS), SHOTS + QUERY)
    x = centres[y] + jax.random.normal(noise_key, (len(y), 8)) * jnp.array([0.3] + [1.0] * 7)
    rows, known = Examples(x, y, jnp.ones(len(y))), WAYS * SHOTS
    return Episode(
        *(jax.tree.map(lambda leaf, part=part: leaf[part], rows) for part in (slice(known), slice(known, None)))
    )


TASKS = Tasks(None, sample)


@pytest.fixture(params=CLASSIFIERS)
def name(request) -> str:
    return request.param


@functools.cache
def learner(name: str) -> Learner:
    return CLASSIFIERS[name]()


@functools.cache
def held_out() -> Episode:
    return fixed_tasks(TASKS, jax.random.key(2), 64)


def one_task() -> Episode:
    return jax.tree.map(lambda leaf: leaf[0], held_out())


@functools.cache
def fresh(name: str) -> Params:
    return jax.jit(learner(name).init)(jax.random.key(0), one_task())


@functools.cache
def trained(name: str) -> Params:
    optimiser = adam(0.02, LENGTH)
    chunk = step.make_train_steps(learner(name), sample, optimiser, batch=16, length=LENGTH)
    return chunk(None, loop.start_from(jax.tree.map(jnp.copy, fresh(name)), optimiser).state, jax.random.key(1))[
        0
    ].params


@functools.cache
def predictor(name: str):
    rule = learner(name)
    return jax.jit(lambda params, support, x: rule.predict(rule.adapt(params, support), x))


def first_predictions(name: str, support: Examples) -> np.ndarray:
    """Of the learner with its first parameters."""
    return np.asarray(predictor(name)(fresh(name), support, one_task().query.x))


def accuracy(name: str, params: Params) -> float:
    guesses = raw_predictions(learner(name), params, held_out()).argmax(-1)
    return float((guesses == np.asarray(held_out().query.y)).mean())


def test_it_learns_which_direction_tells(name):
    """A third is chance; a random embedding of the eight directions keeps something of each."""
    assert accuracy(name, trained(name)) > max(0.6, accuracy(name, fresh(name)) + 0.03)


def test_it_has_every_property_of_a_learner(name):
    check_learner(
        learner(name),
        one_task(),
        params=trained(name),
        exact_gradient=name not in FIRST_ORDER,
        stepwise=name in STEPWISE,
        transductive=name in TRANSDUCTIVE,
        atol=5e-5,
        rtol=1e-4,
    )


def test_a_permutation_of_the_labels_permutes_the_outputs(name):
    """Before training, for what a learnt head has come to know of the labels' names is noise, but not 0."""
    support, turn = one_task().support, jnp.array([1, 2, 0])
    renamed = first_predictions(name, support._replace(y=turn[support.y]))
    np.testing.assert_allclose(renamed[:, turn], first_predictions(name, support), atol=2e-5)
