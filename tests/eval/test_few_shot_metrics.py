"""Accuracy with ties, accuracies of episodes drawn as they are needed, training whose rate and end the host sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.data.classes import Classes
from metarec_jax.eval import metrics
from metarec_jax.eval.predict import Classified, PredictionError, classify, fixed_tasks
from metarec_jax.objectives import query_loss, squared_error
from metarec_jax.tasks.n_way import n_way
from metarec_jax.tasks.sinusoid import sinusoids
from metarec_jax.train import loop, step
from metarec_jax.train.optimisers import adam_at, with_rate
from metarec_jax.types import Baseline, Learner


def test_accuracy_shares_ties_and_skips_padding():
    outputs = jnp.array([[3.0, 1.0, 1.0], [2.0, 2.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 9.0]])
    classes = jnp.array([0, 1, 2, 0])
    assert float(metrics.accuracy(outputs, classes, jnp.ones(4))) == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert float(metrics.accuracy(outputs, classes, jnp.array([0.0, 1, 0, 0]))) == 0.5
    assert np.isnan(metrics.accuracy(outputs, classes, jnp.zeros(4)))


def tasks():
    x = np.repeat(np.eye(4, dtype=np.float32), 6, 0)
    parts = {"train": np.arange(4), "valid": np.array([], int), "test": np.array([], int)}
    return n_way(
        Classes("toy", x, np.arange(0, 25, 6), list("abcd"), parts, "a test"), "train", ways=3, shots=1, query=4
    )


def constant(value: float) -> Baseline:
    return Baseline(lambda train: {}, lambda params, support: {}, lambda fast, x: jnp.full((len(x), 3), value))


def oracle(sign: float) -> Baseline:
    return Baseline(lambda train: {}, lambda params, support: support.x, lambda fast, x: sign * x @ fast.T)


def test_constant_oracle_and_reversed_oracle():
    def on_ten(method: Baseline) -> Classified:
        return classify("it", method, {}, tasks(), jax.random.split(jax.random.key(0), 10), batch=4)

    np.testing.assert_allclose(on_ten(constant(0.3)).accuracy, 1 / 3, rtol=1e-6)
    right, wrong = on_ten(oracle(1.0)), on_ten(oracle(-1.0))
    assert right.accuracy.tolist() == [1.0] * 10 and wrong.accuracy.tolist() == [0.0] * 10
    np.testing.assert_array_equal(right.predicted, right.target)
    assert (wrong.predicted != wrong.target).all() and right.target.shape == (10, 12)
    with pytest.raises(PredictionError, match=r"it predicts NaN for task 0 \(10 of 10 tasks\)"):
        on_ten(constant(float("nan")))


def test_the_episodes_are_the_fixed_ones():
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    method = Baseline(lambda train: {}, lambda params, support: {}, lambda fast, x: x @ weights)
    fixed = fixed_tasks(tasks(), jax.random.key(3), 7)
    by_hand, y = np.asarray(fixed.query.x @ weights).argmax(-1), np.asarray(fixed.query.y)
    result = classify("it", method, {}, tasks(), jax.random.split(jax.random.key(3), 7), batch=2)
    np.testing.assert_allclose(result.accuracy, (by_hand == y).mean(1), rtol=1e-6)
    np.testing.assert_array_equal(result.predicted, by_hand)
    np.testing.assert_array_equal(result.target, y)


def line() -> Learner:
    """y = a x with a learnt."""

    def predict(fast, x):
        return fast["a"] * x[:, 0]

    def adapt(params, support):
        return params

    return Learner(lambda key, episode: {"a": jnp.ones(())}, adapt, predict, query_loss(adapt, predict, squared_error))


def test_the_host_sets_the_rate_and_the_end():
    learner, waves = line(), sinusoids(support=1, query=3)
    optimiser = adam_at(1e-2)
    chunk = step.make_train_steps(learner, waves.sample, optimiser, batch=2, length=3)
    run = loop.start(learner, waves, optimiser, jax.random.key(0))
    still = with_rate(jax.tree.map(jnp.copy, run.state), 0.0)
    stopped, _ = chunk(waves.data, still, jax.random.key(1))
    assert float(stopped.params["a"]) == 1.0 and int(stopped.step) == 3
    moved, _ = chunk(waves.data, with_rate(stopped, 1e-2), jax.random.key(1))
    assert float(moved.params["a"]) != 1.0
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    done = loop.train(chunk, waves, run, root=jax.random.key(1), steps=None, validate=lambda params: 0.0, stop=stop)
    assert int(done.state.step) == 12
