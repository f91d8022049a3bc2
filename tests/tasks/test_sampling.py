"""Draws without replacement: uniform over ordered choices, at a cost that the number of choices cannot enter."""

import itertools
import math
from functools import partial

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_uniform
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.tasks.sampling import draw_distinct


@partial(jax.jit, static_argnums=2)
def _draws(seed, count, size):
    bits = jax.random.bits(jax.random.key(seed), (20_000, size))
    return jax.vmap(draw_distinct, in_axes=(0, None))(bits, count)


def draws(seed, count, size):
    """[20,000, size] independent draws; one program a size."""
    return np.asarray(_draws(jnp.uint32(seed), jnp.int32(count), size))


@pytest.mark.parametrize("count, size", [(2, 2), (5, 2), (40, 2), (4, 4), (6, 4)])
def test_every_ordered_choice_is_equally_likely(count, size):
    codes = draws(0, count, size) @ count ** np.arange(size)
    choices = [np.dot(choice, count ** np.arange(size)) for choice in itertools.permutations(range(count), size)]
    assert set(codes) <= set(choices)
    assert_uniform([np.sum(codes == choice) for choice in choices])


@settings(max_examples=40, deadline=None)
@given(size=st.sampled_from([2, 4, 20]), count=st.integers(1, 60), seed=st.integers(0, 2**31 - 1))
def test_nothing_is_drawn_twice_and_everything_can_be_indexed_with(size, count, seed):
    drawn = draws(seed, count, size)
    assert drawn.min() >= 0 and drawn.max() < count
    real = np.sort(drawn[:, : min(count, size)])
    assert (np.diff(real) > 0).all()


@pytest.mark.parametrize("count, size", [(1, 2), (2, 4), (3, 4), (4, 20)])
def test_fewer_than_asked_for_come_first_in_a_random_order(count, size):
    codes = draws(1, count, size)[:, :count] @ count ** np.arange(count)
    orders, times = np.unique(codes, return_counts=True)
    assert len(orders) == math.factorial(count)
    if count > 1:
        assert_uniform(times)


def test_large_counts_show_no_bias():
    count, size = 1_000_003, 20
    drawn = draws(2, count, size)
    assert (np.diff(np.sort(drawn)) > 0).all()
    for slot in range(size):
        assert_uniform(np.bincount(drawn[:, slot] * 50 // count, minlength=50))
    for divisor in (2, 3, 64):  # the low bits too
        assert_uniform(np.bincount((drawn % divisor).ravel(), minlength=divisor))


def test_the_largest_count_that_fits_into_int32():
    drawn = draws(3, 2**31 - 1, 4)
    assert drawn.min() >= 0
    assert_uniform(np.bincount(drawn.ravel() // 2**28, minlength=8))


def test_the_cost_does_not_depend_on_the_count():
    """The count is an abstract number when the program is made, so no shape can hold it; and nothing is larger than a
    few times what is drawn."""
    size = 16
    traced = jax.make_jaxpr(draw_distinct)(jnp.zeros(size, jnp.uint32), jnp.int32(9))
    shapes = [value.aval.shape for eqn in _equations(traced.jaxpr) for value in eqn.outvars]
    assert len(shapes) > 20 and max(math.prod(shape) for shape in shapes) <= 4 * size


def _equations(jaxpr):
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jax.extend.core.jaxprs_in_params(eqn.params):
            yield from _equations(inner)
