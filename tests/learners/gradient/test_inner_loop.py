"""The inner loop against loops written out by hand, its derivative against finite differences, and its memory."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metarec_jax.learners.gradient.inner_loop import descend
from metarec_jax.params import is_id_table, named, split_free

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.sin(X @ [1.0, -2.0, 0.5])


def loss(weights) -> jax.Array:
    """Mean squared error of a small network: its third derivatives are not 0, as the meta-gradient needs."""
    return jnp.mean((jnp.tanh(X @ weights[("in",)]) @ weights[("out",)] - Y) ** 2)


def start() -> dict:
    rng = np.random.default_rng(1)
    return {("in",): jnp.asarray(rng.normal(size=(3, 4))), ("out",): jnp.asarray(rng.normal(size=4))}


def sgd_by_hand(weights: list, gradient, steps: int) -> list:
    for _ in range(steps):
        weights = [w - 0.1 * g for w, g in zip(weights, gradient(weights), strict=True)]
    return weights


def momentum_by_hand(weights: list, gradient, steps: int) -> list:
    speed = [0.0 for _ in weights]
    for _ in range(steps):
        speed = [0.9 * v + g for v, g in zip(speed, gradient(weights), strict=True)]
        weights = [w - 0.1 * v for w, v in zip(weights, speed, strict=True)]
    return weights


def adam_by_hand(weights: list, gradient, steps: int) -> list:
    first, second = [0.0 for _ in weights], [0.0 for _ in weights]
    for t in range(1, steps + 1):
        gradients = gradient(weights)
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g**2 for v, g in zip(second, gradients, strict=True)]
        unbiased = [(m / (1 - 0.9**t), v / (1 - 0.999**t)) for m, v in zip(first, second, strict=True)]
        weights = [w - 0.1 * m / (np.sqrt(v + 1e-6) + 1e-8) for w, (m, v) in zip(weights, unbiased, strict=True)]
    return weights


OPTIMISERS = {
    "sgd": (lambda: optax.sgd(0.1), sgd_by_hand),
    "momentum": (lambda: optax.sgd(0.1, momentum=0.9), momentum_by_hand),
    "adam": (lambda: optax.adam(0.1, eps_root=1e-6), adam_by_hand),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_it_is_the_loop_written_out(name):
    optimiser, by_hand = OPTIMISERS[name]
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(loss))
        paths = list(start())

        def gradient(weights: list) -> list:
            found = slope(dict(zip(paths, weights, strict=True)))
            return [np.asarray(found[path]) for path in paths]

        final, path = jax.jit(lambda w: descend(loss, w, optimiser=optimiser(), steps=4))(start())
        for steps in range(1, 5):
            expected = by_hand([np.asarray(start()[path]) for path in paths], gradient, steps)
            for key, value in zip(paths, expected, strict=True):
                np.testing.assert_allclose(path[key][steps - 1], value, rtol=1e-9)
        chex.assert_trees_all_equal(final, jax.tree.map(lambda leaf: leaf[-1], path))
        assert loss(final) < 0.8 * loss(start())


@pytest.mark.parametrize("name", OPTIMISERS)
def test_meta_gradient_equals_finite_differences(name):
    with jax.enable_x64(True):

        @jax.jit
        def after(weights):
            final, path = descend(loss, weights, optimiser=OPTIMISERS[name][0](), steps=4)
            return loss(final) + jnp.sum(path[("out",)][1] ** 3)  # the path is differentiable as well

        gradient, rng = jax.grad(after)(start()), np.random.default_rng(2)
        for _ in range(3):
            direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), start())
            ahead, behind = (
                after(jax.tree.map(lambda leaf, d, e=e: leaf + e * d, start(), direction)) for e in (1e-5, -1e-5)
            )
            along = sum(jnp.vdot(gradient[key], direction[key]) for key in gradient)
            np.testing.assert_allclose(along, (ahead - behind) / 2e-5, rtol=1e-6)
            assert abs(along) > 1e-3, "a direction that says nothing"


def test_the_epsilon_under_the_root_is_needed():
    """Where a gradient is 0 the slope of Adam's root is infinite, and the meta-gradient not a number."""

    def after(w, **epsilon):
        adam = optax.adam(0.1, **epsilon)
        return descend(jnp.square, w, optimiser=adam, steps=1)[0]

    assert np.isnan(jax.grad(after)(0.0))
    # The step is -0.1 g / (sqrt(g^2 + 1e-4) + 1e-8) with g = 2 w, of slope -0.2 / 1e-2 at 0.
    np.testing.assert_allclose(jax.grad(partial(after, eps_root=1e-4))(0.0), 1 - 20, rtol=1e-5)


def test_first_order_derivative_is_the_identity():
    with jax.enable_x64(True):
        weights = start()
        cotangent = jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(3).normal(size=leaf.shape)), weights)

        def along(weights, first_order):
            final, _ = descend(loss, weights, optimiser=optax.sgd(0.1), steps=3, first_order=first_order)
            return sum(jnp.vdot(final[key], cotangent[key]) for key in final)

        chex.assert_trees_all_close(jax.grad(along)(weights, True), cotangent, rtol=1e-12)
        exact = jax.grad(along)(weights, False)
        assert max(float(jnp.abs(exact[key] - cotangent[key]).max()) for key in exact) > 0.05


@pytest.mark.parametrize(("name", "steps"), [("sgd", 0), ("sgd", 1), ("sgd", 7), ("momentum", 12), ("adam", 12)])
def test_checkpoints_change_nothing(name, steps):
    with jax.enable_x64(True):

        def after(weights, checkpoint):
            final, path = descend(loss, weights, optimiser=OPTIMISERS[name][0](), steps=steps, checkpoint=checkpoint)
            assert (path is None) == checkpoint
            return loss(final) + sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(final))

        plain, kept = (jax.jit(jax.value_and_grad(partial(after, checkpoint=flag)))(start()) for flag in (False, True))
        chex.assert_trees_all_close(kept, plain, rtol=1e-10)


def meta_gradient_memory(steps: int, checkpoint: bool) -> int:
    """Bytes of temporary memory of one meta-gradient through `steps` steps on 2,000 examples, before it is run."""
    x, y = jax.ShapeDtypeStruct((2000, 8), jnp.float32), jax.ShapeDtypeStruct((2000,), jnp.float32)
    weights = {"in": jax.ShapeDtypeStruct((8, 16), jnp.float32), "out": jax.ShapeDtypeStruct((16,), jnp.float32)}

    def after(weights, x, y):
        def loss(w):
            return jnp.mean((jnp.tanh(x @ w["in"]) @ w["out"] - y) ** 2)

        return loss(descend(loss, weights, optimiser=optax.sgd(0.1), steps=steps, checkpoint=checkpoint)[0])

    return jax.jit(jax.grad(after)).lower(weights, x, y).compile().memory_analysis().temp_size_in_bytes


def test_memory_of_long_inner_loops():
    """Plain, the backward pass keeps every step's activations. With checkpoints it keeps the activations
    of one step: 64 steps on 2,000 examples take what 4 take."""
    plain = {steps: meta_gradient_memory(steps, False) for steps in (4, 16, 64)}
    kept = {steps: meta_gradient_memory(steps, True) for steps in (4, 16, 64)}
    figures = f"{plain} plain, {kept} with checkpoints"
    assert plain[16] > 3 * plain[4], figures
    assert 3 < plain[64] / plain[16] < 5, figures
    activations = 2000 * 16 * 4
    assert plain[64] > 64 * activations, figures
    assert activations < kept[4] and kept[64] <= 1.01 * kept[4], figures
    assert kept[64] < plain[64] / 30, figures


def test_parts_by_path():
    params = {"id_bias": {"table": 1}, "encoder": {"id_table": {"table": 2}, "task": 3, "head": {"kernel": 4}}}
    parts = split_free(params)
    assert parts.fixed == {("id_bias", "table"): 1, ("encoder", "id_table", "table"): 2}
    assert parts.free == {("encoder", "task"): 3, ("encoder", "head", "kernel"): 4}
    assert parts.join(parts.free) == params
    is_moved = named("task", "head")
    assert {path for path in parts.free | parts.fixed if is_moved(path)} == set(parts.free)
    assert not is_moved(("tasks",)) and not is_id_table(("width",))
