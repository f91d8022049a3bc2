"""Text networks: they start as the features they are given; bags are rows; padding of bytes is inert."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.data.features.text import Bag
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.models.text import ByteNet, Mapped, Reweighted, TextBytes, dense
from metarec_jax.objectives import cross_entropy
from metarec_jax.types import Episode, Examples

WIDTH = 12
SCALED = Reweighted(WIDTH, hidden=8, extra=3)


def bag(rows: int, seed: int = 0) -> Bag:
    rng = np.random.default_rng(seed)
    column = rng.integers(0, WIDTH, (rows, 5)).astype(np.int32)
    weight = rng.normal(size=(rows, 5)).astype(np.float32)
    weight[:, 4] = 0.0  # padding
    return Bag(jnp.asarray(column), jnp.asarray(weight))


def test_entries_of_a_column_add_up_and_features_stay_as_they_are():
    x = Bag(jnp.array([[3, 3, 0]]), jnp.array([[1.0, 0.5, -2.0]]))
    assert dense(x, 4).tolist() == [[-2.0, 0.0, 0.0, 1.5]]
    assert dense(x.weight, 4) is x.weight


@pytest.mark.parametrize("net", [SCALED, Mapped(WIDTH, rank=2)], ids=["scales", "map"])
def test_an_untrained_metric_learner_is_the_nearest_class_mean(net):
    x, y = bag(40), jnp.arange(40, dtype=jnp.int32) % 4
    learner = protonet(net, cross_entropy, ways=4)
    support, query = (
        Examples(jax.tree.map(lambda leaf, at=at: leaf[at], x), y[at], jnp.ones(20))
        for at in (slice(0, 20), slice(20, 40))
    )
    params = learner.init(jax.random.key(0), Episode(support, query))
    outputs = learner.predict(learner.adapt(params, support), query.x)
    rows = np.asarray(dense(x, WIDTH))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    means = np.stack([rows[:20][np.arange(20) % 4 == way].mean(0) for way in range(4)])
    apart = np.linalg.norm(rows[20:, None] - means, axis=2)
    np.testing.assert_array_equal(outputs.argmax(1), apart.argmin(1))


@pytest.mark.parametrize("net", [SCALED, Mapped(WIDTH, rank=2)], ids=["scales", "map"])
def test_every_part_of_the_network_has_a_gradient(net):
    params = net.init(jax.random.key(0), bag(6))
    moved = jax.tree.map(lambda leaf: leaf + 0.1, params)
    weights = jnp.arange(1.0, 7.0)[:, None] ** jnp.arange(net.apply(params, bag(6)).shape[1])  # lengths are fixed
    gradient = jax.grad(lambda params: jnp.sum(weights * net.apply(params, bag(6))))(moved)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


def test_padding_of_bytes_is_inert_and_order_is_not():
    net = ByteNet(width=16)
    text = np.frombuffer(b"pay the bill", np.uint8)

    def embedded(padding: int, content: np.ndarray) -> np.ndarray:
        rows = jnp.asarray(np.pad(content, (0, padding))[None])
        return np.asarray(net.apply(params, TextBytes(rows, None))[0])

    params = net.init(jax.random.key(0), TextBytes(jnp.asarray(text[None]), None))
    assert embedded(0, text).shape == (32,)
    np.testing.assert_allclose(embedded(9, text), embedded(0, text), atol=1e-6)
    assert np.abs(embedded(0, text[::-1].copy()) - embedded(0, text)).max() > 1e-3
    assert not embedded(0, np.zeros(4, np.uint8)).any()
