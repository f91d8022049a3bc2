"""The content encoder: groups by name, missing groups, and its value worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.models.content import ContentEncoder, Span, group_spans, hide_groups

SPANS = (Span("genre", 0, 2), Span("title", 2, 5))


def build(dim: int = 3, width: int = 4):
    """An encoder with random parameters, so that nothing in it is 0."""
    net = ContentEncoder(SPANS, dim, width)
    params = net.init(jax.random.key(0), jnp.ones((1, 5)))["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return net, tree.unflatten([jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)])


def test_spans_are_read_from_the_names():
    assert group_spans(("genre=a", "genre=b=c", "title=0", "title=1", "title=2")) == SPANS
    assert group_spans(()) == ()
    with pytest.raises(ValueError, match="do not stand side by side: a, b, a"):
        group_spans(("a=1", "b=1", "a=2"))


def test_hiding_is_what_missing_looks_like():
    side = jnp.arange(1.0, 11.0).reshape(2, 5)
    hidden = hide_groups(side, SPANS, jnp.array([0.0, 1.0]))
    np.testing.assert_array_equal(hidden, [[0, 0, 3, 4, 5], [0, 0, 8, 9, 10]])
    np.testing.assert_array_equal(hide_groups(side, SPANS, jnp.ones(2)), side)
    assert hide_groups(side[:, :0], (), jnp.ones(0)).shape == (2, 0)


def test_it_starts_at_zero_and_its_linear_maps_are_a_linear_model():
    net = ContentEncoder(SPANS, 3)
    side = jax.random.normal(jax.random.key(2), (6, 5))
    params = net.init(jax.random.key(0), side)["params"]
    assert not net.apply({"params": params}, side).any()
    kernel = jax.random.normal(jax.random.key(3), (5, 3))
    params |= {f"linear_{name}": {"kernel": kernel[first:end]} for name, first, end in SPANS}
    np.testing.assert_allclose(net.apply({"params": params}, side), side @ kernel, rtol=2e-5, atol=1e-6)


def by_hand(params, row: np.ndarray) -> np.ndarray:
    """The encoder's docstring, one row at a time."""
    total, hidden, logits = 0.0, [], []
    for name, first, end in SPANS:
        part = row[first:end]
        if not part.any():
            total = total + params[f"missing_{name}"]
            continue
        total = total + part @ params[f"linear_{name}"]["kernel"]
        layer, gate = params[f"hidden_{name}"], params[f"weight_{name}"]
        hidden.append(np.maximum(part @ layer["kernel"] + layer["bias"], 0))
        logits.append(hidden[-1] @ gate["kernel"][:, 0] + gate["bias"][0])
    shares = np.exp(logits) / np.sum(np.exp(logits))
    fused = sum(share * of for share, of in zip(shares, hidden, strict=True)) if hidden else np.zeros(4)
    return total + fused @ params["fused"]["kernel"] + params["fused"]["bias"]


def test_it_is_what_it_says_with_and_without_each_group():
    net, params = build()
    side = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    side[1, :2] = side[2, 2:] = side[3] = 0
    found = np.asarray(net.apply({"params": params}, side))
    expected = [by_hand(jax.tree.map(np.asarray, params), row) for row in side]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for row in range(1, 4):  # without a group it says something else, and a number
        same = net.apply({"params": params}, side[:1] * (side[row] != 0))
        assert np.isfinite(same).all() and np.abs(same - found[0]).max() > 1e-2


def test_gradients_are_finite_where_everything_is_missing():
    net, params = build()
    gradient = jax.grad(lambda params: jnp.sum(net.apply({"params": params}, jnp.zeros((2, 5))) ** 2))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert np.any(gradient["missing_genre"]) and not np.any(gradient["linear_genre"]["kernel"])
