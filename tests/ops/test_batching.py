"""In batches is all at once, for any number, and what is worked on is traced once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.ops.batching import FEW, in_batches, in_blocks


@pytest.mark.parametrize(("number", "batch"), [(1, 16), (16, 16), (17, 16), (30, 16), (7, 3), (9, 3), (5, 1)])
def test_it_is_vmap(number, batch):
    keys = jax.random.split(jax.random.key(0), number)
    inputs = {"key": keys, "x": np.arange(2.0 * number).reshape(number, 2)}
    traced = []

    def one(row):
        traced.append(row["x"].shape)
        return jnp.sum(row["x"]), row["x"] + jax.random.normal(row["key"], (2,))

    found = jax.jit(lambda inputs: in_batches(one, inputs, batch))(inputs)
    assert traced == [(2,)]
    for a, b in zip(found, jax.vmap(one)(inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_no_batch_is_larger_than_asked():
    """10 are three batches of 4, two of which fill up the last."""
    traced = jax.make_jaxpr(lambda x: in_batches(jnp.sin, x, 4))(jnp.arange(10.0))
    (loop,) = [step for step in traced.eqns if step.primitive.name == "scan"]
    assert loop.params["length"] == 3 and loop.invars[-1].aval.shape == (3, 4)


@pytest.mark.parametrize("number", [1, 5, 16, 17, 40, 64, 65])
def test_blocks_are_all_at_once_and_of_two_sizes(number):
    seen = set()

    def rows(block):
        seen.add(len(block["x"]))
        return {"twice": 2 * block["x"], "sum": block["x"].sum(1)}

    x = np.arange(3.0 * number).reshape(number, 3)
    found = in_blocks(rows, {"x": x}, 32)
    np.testing.assert_array_equal(found["twice"], 2 * x)
    np.testing.assert_array_equal(found["sum"], x.sum(1))
    assert seen == {FEW if number <= FEW else 32}
