"""Loops that are gone backward from a few snapshots: the plan, what is worked out first, and derivatives."""

from functools import partial
from math import comb

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.ops.checkpointed_scan import hoist_known, plan, repeat


@settings(deadline=None)
@given(steps=st.integers(0, 60), snapshots=st.integers(0, 4))
def test_the_plan_comes_to_every_step_backwards(steps, snapshots):
    """Played with numbers for carries: step n makes n + 1 from n."""
    kept, done, repeats = [-1] * (snapshots + 1), [], np.zeros(steps + 1, int)
    for moves in plan(steps, snapshots):
        before = 0
        for number, (earlier, ahead) in enumerate(moves):
            begin = before if earlier else kept[number]
            repeats[begin : begin + ahead] += 1
            before = kept[number] = begin + ahead
        done.append(before)
    assert done == list(range(steps))[::-1]
    # Griewank and Walther: r repeats do for (s + 1 + r over r) steps, the start being a snapshot as well.
    enough = next(r for r in range(steps + 1) if comb(snapshots + 1 + r, r) >= steps)
    assert repeats.max() <= enough


def test_forward_steps_of_small_plans_by_hand():
    def forward(steps, snapshots):
        return sum(ahead for moves in plan(steps, snapshots) for _, ahead in moves)

    assert [forward(steps, 0) for steps in (1, 2, 5)] == [0, 1, 10]
    # Three steps: to 1, keep it, to 2 | from 1 | from 0. Four: to 1, keep, to 3 | to 2 | at 1 | at 0, 1 + 2 + 1.
    assert [forward(steps, 1) for steps in (2, 3, 4)] == [1, 2, 4]
    assert forward(4, 3) == 3, "as many snapshots as it takes: every step once"


def test_what_does_not_depend_on_the_carry_is_worked_out_first():
    table, ids = jnp.arange(12.0).reshape(6, 2), jnp.array([4, 1])

    def step(weights):
        return weights + jnp.sum(jnp.take(table, ids, axis=0) @ weights)

    rest, known = hoist_known(step, jnp.ones(2))
    assert [leaf.shape for leaf in known] == [(2, 2)], "the rows, and not the table"
    np.testing.assert_array_equal(known[0], table[ids])
    np.testing.assert_allclose(rest(jnp.array([1.0, -2.0]), *known), step(jnp.array([1.0, -2.0])))


@pytest.mark.parametrize("snapshots", [0, 1, 2])
def test_derivatives_are_those_of_the_loop(snapshots):
    """Carries with whole numbers in them, closed-over arrays, whole ones too, and several tasks."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        ids, target = jnp.asarray(rng.integers(0, 9, (4, 5))), jnp.asarray(rng.normal(size=(4, 5)))
        params = {"table": jnp.asarray(rng.normal(size=(9, 3))), "start": jnp.asarray(rng.normal(size=3))}

        def task(params, ids, target, loop):
            def step(carry):
                number, weights = carry
                residual = jnp.tanh(params["table"][ids] @ weights) - target
                return number + 1, weights - 0.3 / (number + 1) * (residual @ params["table"][ids]) * params["start"]

            number, weights = loop(step, (jnp.int32(0), params["start"]))
            return jnp.sum(weights**2) * number

        def mean(params, loop):
            return jnp.mean(jax.vmap(lambda ids, target: task(params, ids, target, loop))(ids, target))

        def plain(step, carry):
            return jax.lax.scan(lambda carry, _: (step(carry), None), carry, length=7)[0]

        def rewound(step, carry):
            return repeat(step, carry, 7, snapshots)

        expected, found = (jax.jit(jax.value_and_grad(partial(mean, loop=loop)))(params) for loop in (plain, rewound))
        chex.assert_trees_all_close(found, expected, rtol=1e-10)
        assert all(float(jnp.abs(leaf).max()) > 1e-3 for leaf in jax.tree.leaves(expected[1]))


def test_memory_does_not_grow_with_the_steps_nor_with_tasks_times_a_shared_table():
    rows, tasks = 20_000, 16

    def scratch(steps):
        def task(table, ids):
            def step(weights):
                return weights - 0.1 * jnp.tanh(table[ids] @ weights) @ table[ids]

            return jnp.sum(repeat(step, jnp.ones(8), steps) ** 2)

        def mean(table, ids):
            return jnp.mean(jax.vmap(task, (None, 0))(table, ids))

        shapes = jax.ShapeDtypeStruct((rows, 8), jnp.float32), jax.ShapeDtypeStruct((tasks, 10), jnp.int32)
        return jax.jit(jax.grad(mean)).lower(*shapes).compile().memory_analysis().temp_size_in_bytes

    few, many = scratch(3), scratch(200)
    assert many < 1.05 * few
    assert many < 2 * rows * 8 * 4, "less than two tables, let alone one a task"
