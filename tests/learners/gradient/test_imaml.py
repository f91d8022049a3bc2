"""The implicit gradient against closed forms, against differentiating the inner loop, and what it costs in memory."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metarec_jax import objectives
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.learners.gradient.imaml import imaml
from metarec_jax.learners.gradient.inner_loop import descend
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.models.recommender import RatingNet
from metarec_jax.ops.rows import map_rows
from metarec_jax.recipes import RECIPES
from metarec_jax.tasks.users import training_tasks
from metarec_jax.types import Episode, Examples, Inputs

LAM = 0.7


class Scaled(nn.Module):
    """x [N, D] -> (x * id_scale) . w, where `id_scale` [D] is a thing that the inner loop leaves alone."""

    @nn.compact
    def __call__(self, x):
        scale = self.param("id_scale", nn.initializers.ones, (x.shape[-1],), jnp.float64)
        return (x * scale) @ self.param("w", nn.initializers.normal(), (x.shape[-1],), jnp.float64)


class Bent(nn.Module):
    """The same with a hidden layer, smooth so that errors fall without jumps."""

    @nn.compact
    def __call__(self, x):
        scale = self.param("id_scale", nn.initializers.ones, (x.shape[-1],), jnp.float64)
        hidden = jnp.tanh((x * scale) @ self.param("first", nn.initializers.normal(0.5), (4, 3), jnp.float64))
        return hidden @ self.param("second", nn.initializers.normal(0.5), (3,), jnp.float64)


def task(rng: np.random.Generator, dims: int = 4) -> Episode:
    """The support's last row is padding."""
    mask = np.ones(7)
    mask[-1] = 0
    parts = [Examples(rng.normal(size=(n, dims)), rng.normal(size=n), m) for n, m in ((7, mask), (9, np.ones(9)))]
    return jax.tree.map(jnp.asarray, Episode(*parts))


def ridge_loss(params, episode: Episode):
    """The query's loss at the solution in closed form: (H + lam I)^-1 (2 / n X'y + lam theta), H = 2 / n X'X."""
    x, y, mask = episode.support.x * params["id_scale"], episode.support.y, episode.support.mask
    hessian = 2 / mask.sum() * (x.T * mask) @ x
    right = 2 / mask.sum() * (x.T * mask) @ y + LAM * params["w"]
    w = jnp.linalg.solve(hessian + LAM * jnp.eye(len(right)), right)
    return query_loss_at(w, params, episode)


def query_loss_at(w, params, episode: Episode):
    return jnp.mean(((episode.query.x * params["id_scale"]) @ w - episode.query.y) ** 2)


def test_gradient_on_ridge_regression_is_that_of_the_closed_form():
    """With respect to the initial weights, what the inner loop leaves alone, and all numbers of the support."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        episode = task(rng)
        params = {"w": jnp.asarray(rng.normal(size=4)), "id_scale": jnp.asarray(rng.uniform(0.5, 1.5, size=4))}
        rule = imaml(Scaled(), objectives.squared_error, lam=LAM, lr=0.15, steps=400)
        ours = jax.jit(jax.value_and_grad(lambda p, e: rule.loss(p, e, jax.random.key(0))[0], (0, 1)))
        value, found = ours(params, episode)
        exact_value, exact = jax.jit(jax.value_and_grad(ridge_loss, (0, 1)))(params, episode)
        np.testing.assert_allclose(value, exact_value, rtol=1e-10)
        chex.assert_trees_all_close(found[0], exact[0], rtol=1e-8, atol=1e-10)
        for leaf in ("x", "y"):
            ours, theirs = getattr(found[1].support, leaf), getattr(exact[1].support, leaf)
            assert np.abs(theirs).max() > 1e-3
            np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
        solution = jax.jit(rule.adapt)(params, episode.support)["w"]
        direct = jax.grad(lambda p: query_loss_at(solution, p, episode))(params)["id_scale"]
        assert np.abs(direct - exact[0]["id_scale"]).max() > 1e-2  # what is missed if the solution is held constant


def test_residual_is_the_slope_that_is_left():
    """Over that at the start, on ridge regression; nothing without a support."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        episode, w = task(rng), rng.normal(size=4)
        params = {"w": jnp.asarray(w), "id_scale": jnp.ones(4)}

        def residual(steps: int, episode: Episode = episode) -> float:
            rule = imaml(Scaled(), objectives.squared_error, lam=LAM, lr=0.15, steps=steps)
            return float(rule.loss(params, episode, jax.random.key(0))[1]["residual"])

        x, y = (np.asarray(leaf)[:6] for leaf in (episode.support.x, episode.support.y))
        slopes, at = [], w
        for _ in range(4):
            slopes.append(x.T @ (x @ at - y) / 3 + LAM * (at - w))
            at = at - 0.15 * slopes[-1]
        np.testing.assert_allclose(residual(3), np.linalg.norm(slopes[3]) / np.linalg.norm(slopes[0]), rtol=1e-9)
        empty = episode._replace(support=map_rows(lambda leaf: leaf[:0], episode.support))
        assert residual(3, empty) == 0.0


def test_the_recipe_s_defaults_come_close_to_the_inner_solution():
    """On ten ratings a user."""
    ratings = make_world(0, users=40, items=20, ratings_per_user=20, dims=2).ratings
    tasks = training_tasks(ratings, support=10, query=5)
    rule = RECIPES["imaml"].build(ratings).method
    batch = jax.jit(jax.vmap(tasks.sample, (None, 0)))(tasks.data, jax.random.split(jax.random.key(0), 8))
    params = jax.jit(rule.init)(jax.random.key(1), jax.tree.map(lambda leaf: leaf[0], batch))
    loss = jax.jit(jax.vmap(lambda episode: rule.loss(params, episode, jax.random.key(2))))
    assert loss(batch)[1]["residual"].mean() < 0.05


@pytest.mark.parametrize("damping", [0.0, 3.0])
def test_damping_raises_lam_in_the_derivative_alone(damping):
    """(lam + damping) (H + (lam + damping) I)^-1 times the query's gradient at the undamped solution."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        episode, w = task(rng), rng.normal(size=4)
        params = {"w": jnp.asarray(w), "id_scale": jnp.ones(4)}
        rule = imaml(Scaled(), objectives.squared_error, lam=LAM, lr=0.15, steps=400, damping=damping)
        found = jax.jit(jax.grad(lambda p: rule.loss(p, episode, jax.random.key(0))[0]))(params)["w"]
        x, y = (np.asarray(leaf)[:6] for leaf in (episode.support.x, episode.support.y))
        hessian = x.T @ x / 3
        solution = np.linalg.solve(hessian + LAM * np.eye(4), x.T @ y / 3 + LAM * w)
        query = 2 / 9 * episode.query.x.T @ (episode.query.x @ solution - episode.query.y)
        strength = LAM + damping
        np.testing.assert_allclose(
            found, strength * np.linalg.solve(hessian + strength * np.eye(4), query), rtol=1e-8, atol=1e-10
        )


def test_without_support_nothing_moves_and_the_derivative_is_the_identity():
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        episode = task(rng)
        params = {"w": jnp.asarray(rng.normal(size=4)), "id_scale": jnp.ones(4)}
        empty = map_rows(lambda leaf: leaf[:0], episode.support)
        rule = imaml(Scaled(), objectives.squared_error, lam=LAM, lr=0.1, steps=3, damping=2.0)
        adapt = jax.jit(lambda w: rule.adapt(params | {"w": w}, empty)["w"])
        np.testing.assert_array_equal(adapt(params["w"]), params["w"])
        np.testing.assert_allclose(jax.jacrev(adapt)(params["w"]), np.eye(4), atol=1e-12)


def test_more_inner_steps_bring_it_to_the_gradient_through_the_inner_loop():
    """How the solution was found does not matter: momentum ends at the same gradient."""
    with jax.enable_x64(True):
        episode, net, lam = task(np.random.default_rng(3)), Bent(), 1.5
        params = jax.jit(net.init)(jax.random.key(0), episode.support.x)["params"]

        def unrolled(params):
            start = {name: params[name] for name in ("first", "second")}

            def regularised(weights):
                outputs = net.apply({"params": params | weights}, episode.support.x)
                apart = optax.tree.norm(optax.tree.sub(weights, start), squared=True)
                return objectives.squared_error(outputs, episode.support)[0] + lam / 2 * apart

            found, _ = descend(regularised, start, optimiser=optax.sgd(0.2), steps=600)
            return objectives.squared_error(net.apply({"params": params | found}, episode.query.x), episode.query)[0]

        def implicit(steps: int, optimiser=optax.sgd):
            rule = imaml(net, objectives.squared_error, lam=lam, lr=0.2, steps=steps, optimiser=optimiser)
            return jax.jit(jax.grad(lambda p: rule.loss(p, episode, jax.random.key(0))[0]))(params)

        exact = jax.jit(jax.grad(unrolled))(params)

        def error(gradient) -> float:
            return float(optax.tree.norm(optax.tree.sub(gradient, exact)) / optax.tree.norm(exact))

        few, more, many = (error(implicit(steps)) for steps in (12, 60, 200))
        assert few > 10 * more > 1e5 * many, (few, more, many)
        assert many < 1e-8, many
        assert error(implicit(600, lambda lr: optax.sgd(lr / 2, momentum=0.5))) < 1e-8


def rating_task() -> Episode:
    rng = np.random.default_rng(4)

    def part(ids) -> Examples:
        x = Inputs(ids, np.zeros((len(ids), 0), np.float32), np.zeros(0, np.float32))
        return Examples(x, rng.uniform(1, 5, len(ids)).astype(np.float32), np.ones(len(ids), np.float32))

    return jax.tree.map(jnp.asarray, Episode(part(np.arange(10, dtype=np.int32)), part(np.arange(10, 20))))


def test_memory_does_not_grow_with_the_inner_steps():
    net, episode = RatingNet(20, 3.0, id_dim=4, hidden=(32,)), rating_task()

    def bytes_for(rule) -> int:
        params = jax.eval_shape(rule.init, jax.random.key(0), episode)
        gradient = jax.jit(jax.grad(lambda p, e: rule.loss(p, e, jax.random.key(0))[0]))
        return gradient.lower(params, episode).compile().memory_analysis().temp_size_in_bytes

    def implicit(steps: int) -> int:
        return bytes_for(imaml(net, objectives.squared_error, lam=1.0, lr=0.1, steps=steps))

    def unrolled(steps: int) -> int:
        return bytes_for(maml(net, objectives.squared_error, lr=0.1, steps=steps))

    few, more, many = implicit(4), implicit(16), implicit(64)
    assert max(few, more, many) < 1.03 * min(few, more, many)
    assert unrolled(64) > 3 * unrolled(16) > 3 * many
