"""Every learner as a classifier, one table: what must hold for all of them beside `test_conformance.py`.

The classes of an episode are three Gaussians that differ in one direction of eight, in random order.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import CLASSIFIERS, FIRST_ORDER, WAYS

from metarec_jax.eval.predict import fixed_tasks, raw_predictions
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


def predictions(name: str, support: Examples, params: Params | None = None) -> np.ndarray:
    return np.asarray(predictor(name)(trained(name) if params is None else params, support, one_task().query.x))


def accuracy(name: str, params: Params) -> float:
    guesses = raw_predictions(learner(name), params, held_out()).argmax(-1)
    return float((guesses == np.asarray(held_out().query.y)).mean())


def test_it_learns_which_direction_tells(name):
    """A third is chance; a random embedding of the eight directions keeps something of each."""
    assert accuracy(name, trained(name)) > max(0.6, accuracy(name, fresh(name)) + 0.03)


def test_padding_and_order_are_inert(name):
    support = one_task().support
    expected = predictions(name, support)
    garbage = jax.tree.map(lambda leaf: jnp.concatenate([leaf[::-1], leaf[:2] * 0 + 1]), support)
    padded = garbage._replace(mask=jnp.concatenate([support.mask, jnp.zeros(2)]))
    np.testing.assert_allclose(predictions(name, padded), expected, atol=5e-5, rtol=1e-4)


def test_an_empty_support_gives_numbers_and_knows_nothing(name):
    support = one_task().support
    empty = predictions(name, support._replace(mask=jnp.zeros_like(support.mask)))
    assert np.isfinite(empty).all()
    without_rows = predictions(name, jax.tree.map(lambda leaf: leaf[:0], support))
    np.testing.assert_allclose(without_rows, empty, atol=1e-5)
    assert np.abs(predictions(name, support) - empty).max() > 1e-3


def test_a_permutation_of_the_labels_permutes_the_outputs(name):
    """Before training, for what a learnt head has come to know of the labels' names is noise, but not 0."""
    support, turn = one_task().support, jnp.array([1, 2, 0])
    renamed = predictions(name, support._replace(y=turn[support.y]), fresh(name))
    np.testing.assert_allclose(renamed[:, turn], predictions(name, support, fresh(name)), atol=2e-5)


def test_gradient_equals_finite_differences_in_float64(name):
    if name in FIRST_ORDER:
        pytest.skip("a first-order learner's update is by definition not the gradient of its loss")
    with jax.enable_x64(True):
        to_64 = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)))
        params, episode = to_64(trained(name)), one_task()
        episode = Episode(*(part._replace(x=to_64(part.x), mask=to_64(part.mask)) for part in episode))

        @jax.jit
        def loss(params):
            return learner(name).loss(params, episode, jax.random.key(0))[0]

        direction = jax.tree.map(lambda leaf: np.random.default_rng(0).normal(size=leaf.shape), params)
        ends = [
            loss(jax.tree.map(lambda leaf, d, sign=sign: leaf + sign * 1e-6 * d, params, direction)) for sign in (1, -1)
        ]
        slope, gradient = (ends[0] - ends[1]) / 2e-6, jax.jit(jax.grad(loss))(params)
        along = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
        assert abs(slope) > 1e-4, "a direction that says nothing"
        np.testing.assert_allclose(along, slope, rtol=1e-5)
