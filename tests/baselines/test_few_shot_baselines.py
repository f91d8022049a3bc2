"""Classifiers on ready features against numpy and against the conditions of an optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.baselines.few_shot import (
    logistic_regression,
    mean_features,
    nearest_mean,
    nearest_neighbour,
    refined_mean,
)
from metarec_jax.data.classes import Classes
from metarec_jax.types import Examples

WAYS, DIM = 3, 4
RULES = {
    "mean": nearest_mean,
    "refined": refined_mean,
    "neighbour": nearest_neighbour,
    "logistic": logistic_regression,
}


def read(x):
    return x


def train() -> Classes:
    x = np.random.default_rng(5).normal(1.0, 1.0, (8, DIM)).astype(np.float32)
    parts = {"train": np.array([0, 2]), "valid": np.array([1]), "test": np.array([3])}
    return Classes("toy", x, np.array([0, 2, 4, 6, 8]), list("abcd"), parts, "a test")


def support(seed: int, real: int) -> Examples:
    """`real` examples and padding up to 9."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(9, DIM)).astype(np.float32)
    return Examples(
        jnp.asarray(x), jnp.arange(9, dtype=jnp.int32) % WAYS, jnp.asarray(np.arange(9) < real, jnp.float32)
    )


def prepared(x: np.ndarray, centred: bool, unit_length: bool) -> np.ndarray:
    mean = train().x[[0, 1, 4, 5]].mean(0)
    x = x - mean if centred else x
    return x / np.linalg.norm(x, axis=1, keepdims=True) if unit_length else x


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("unit_length", [False, True])
def test_nearest_mean_and_neighbour_are_those_of_numpy(centred, unit_length):
    query = np.random.default_rng(1).normal(size=(20, DIM)).astype(np.float32)
    known = support(2, 7)
    rows, asked = (prepared(np.asarray(x), centred, unit_length) for x in (known.x, query))
    labels = np.asarray(known.y)[:7]
    apart = np.linalg.norm(asked[:, None] - rows[:7], axis=2)
    means = np.stack([rows[:7][labels == way].mean(0) for way in range(WAYS)])
    expected = {
        "mean": np.linalg.norm(asked[:, None] - means, axis=2).argmin(1),
        "neighbour": labels[apart.argmin(1)],
    }
    for name, wanted in expected.items():
        method = RULES[name](read, ways=WAYS)
        params = method.fit(train(), centred=centred, unit_length=unit_length)
        outputs = method.predict(method.adapt(params, known), jnp.asarray(query))
        assert outputs.shape == (20, WAYS)
        np.testing.assert_array_equal(outputs.argmax(1), wanted)


def test_one_step_of_refinement_by_numpy():
    query, known = np.random.default_rng(1).normal(size=(20, DIM)).astype(np.float32), support(2, 7)
    rows, labels = np.asarray(known.x)[:7], np.asarray(known.y)[:7]
    sums, counts = np.stack([rows[labels == way].sum(0) for way in range(WAYS)]), np.bincount(labels)[:, None]
    apart = np.square(query[:, None] - sums / counts).sum(2)
    share = np.exp(-2.0 * (apart.T - apart[:, 0])).T
    share /= share.sum(1, keepdims=True)
    means = (sums + share.T @ query) / (counts + share.sum(0)[:, None])
    method = refined_mean(read, ways=WAYS, steps=1)
    outputs = method.predict(method.adapt(method.fit(train(), sharpness=2.0), known), jnp.asarray(query))
    wanted = -np.linalg.norm(query[:, None] - means, axis=2)
    np.testing.assert_array_equal(outputs.argmax(1), wanted.argmax(1))
    np.testing.assert_allclose(outputs - outputs[:, :1], 2.0 * ((wanted**2)[:, :1] - wanted**2), atol=2e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.1, 1.0, 10.0]))
def test_logistic_regression_is_at_the_optimum(seed, penalty):
    """The gradient by the weights, X' (P - Y) + penalty W, is 0."""
    known = support(seed, 7)
    method = logistic_regression(read, ways=WAYS, steps=1000)
    fast = jax.jit(method.adapt)(method.fit(train(), penalty=penalty), known)
    x, y = np.asarray(known.x)[:7], np.eye(WAYS)[np.asarray(known.y)[:7]]
    p = np.asarray(jax.nn.softmax(method.predict(fast, known.x[:7]), -1))
    gradient = x.T @ (p - y) + penalty * np.asarray(fast["weights"])
    assert np.abs(gradient).max() < 2e-3


@pytest.mark.parametrize("name", RULES)
def test_padding_and_order_make_no_difference_and_empty_classes_are_never_chosen(name):
    method = RULES[name](read, ways=WAYS)
    params = method.fit(train(), centred=True, unit_length=True)
    query = jnp.asarray(np.random.default_rng(3).normal(size=(6, DIM)).astype(np.float32))

    def outputs(known: Examples) -> np.ndarray:
        return np.asarray(method.predict(method.adapt(params, known), query))

    known = support(4, 7)
    short = jax.tree.map(lambda leaf: leaf[:7], known)
    np.testing.assert_allclose(outputs(known), outputs(short), atol=1e-5)
    order = np.random.default_rng(0).permutation(9)
    np.testing.assert_allclose(outputs(jax.tree.map(lambda leaf: leaf[order], known)), outputs(known), atol=1e-5)
    two = known._replace(mask=known.mask * (known.y != 1))
    if name != "logistic":
        assert not (outputs(two).argmax(1) == 1).any()
    assert np.isfinite(outputs(known._replace(mask=jnp.zeros(9)))).all() or name != "logistic"


def test_the_mean_is_over_the_training_classes_in_pieces(monkeypatch):
    monkeypatch.setattr("metarec_jax.baselines.few_shot._ROWS", 3)
    np.testing.assert_allclose(mean_features(read, train()), train().x[[0, 1, 4, 5]].mean(0), rtol=1e-6)
    pictures = train()._replace(x=np.ones((8, 2, 2), np.uint8))
    assert mean_features(lambda x: x.reshape(len(x), -1), pictures).tolist() == [1.0] * 4
