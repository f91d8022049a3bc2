"""In batches is all at once, for any number, and what is worked on is traced once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.ops.batching import in_batches


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
