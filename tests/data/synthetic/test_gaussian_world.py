"""The synthetic world: its posterior against a direct Gaussian conditional, and the floor it promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.data.synthetic.gaussian_world import Posterior, World, bayes_optimal, make_world
from metarec_jax.ops.rows import map_rows
from metarec_jax.types import Examples, Inputs


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(3, users=400, items=120, ratings_per_user=24)


def inputs(world: World, user: int, items: np.ndarray) -> Inputs:
    table = world.ratings
    context = table.user_features.values[user]
    return Inputs(jnp.asarray(items), jnp.asarray(table.item_features.values[items]), jnp.asarray(context))


def history(world: World, user: int) -> tuple[np.ndarray, np.ndarray]:
    rows = slice(*world.ratings.user_offsets[user : user + 2])
    return world.ratings.item[rows], world.ratings.rating[rows]


def support(world: World, user: int, shots: int) -> Examples:
    items, ratings = (part[:shots] for part in history(world, user))
    return Examples(inputs(world, user, items), jnp.asarray(ratings), jnp.ones(shots))


def direct(world: World, user: int, shots: int, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the query's ratings from the joint Gaussian over RATINGS, in float64."""
    items, ratings = (part[:shots] for part in history(world, user))
    f = world.ratings.user_features.values[user].astype(float)

    def moments(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return world.item_vectors[a] @ world.item_vectors[b].T + world.user_bias_scale**2

    def prior(a: np.ndarray) -> np.ndarray:
        return world.mean + world.item_bias[a] + world.item_vectors[a] @ (world.user_map @ f)

    gain = moments(query, items) @ np.linalg.inv(moments(items, items) + world.noise**2 * np.eye(shots))
    mean = prior(query) + gain @ (ratings.astype(float) - prior(items))
    cov = moments(query, query) - gain @ moments(items, query)
    return mean, np.diag(cov) + world.noise**2


def predictive_variance(posterior: Posterior, x: Inputs) -> jax.Array:
    """[N] variance of a new rating around the posterior mean, noise included: the expected squared error."""
    a = posterior.truth.design[x.id]
    return jnp.sum((a @ posterior.cov) * a, axis=1) + posterior.truth.noise**2


@pytest.mark.parametrize("shots", [0, 1, 10])
def test_posterior_equals_the_gaussian_conditional(world, shots):
    best = bayes_optimal(world)
    truth = best.fit(world.ratings)
    for user in (0, 7):
        query = history(world, user)[0][12:]
        fast = best.adapt(truth, support(world, user, shots))
        x = inputs(world, user, query)
        mean, variance = direct(world, user, shots, query)
        np.testing.assert_allclose(best.predict(fast, x), mean, rtol=0, atol=2e-5)
        np.testing.assert_allclose(predictive_variance(fast, x), variance, rtol=1e-4)


def test_padding_is_inert(world):
    best = bayes_optimal(world)
    truth = best.fit(world.ratings)
    bare = support(world, 5, 4)
    padded = Examples(
        map_rows(lambda leaf: jnp.concatenate([leaf, leaf[:3] * 0]), bare.x),
        jnp.concatenate([bare.y, jnp.array([1e6, jnp.nan, -5.0])]),
        jnp.concatenate([bare.mask, jnp.zeros(3)]),
    )
    x = inputs(world, 5, np.arange(120))
    expected = best.predict(best.adapt(truth, bare), x)
    np.testing.assert_allclose(best.predict(best.adapt(truth, padded), x), expected, atol=1e-6)


def test_error_is_what_the_posterior_expects_and_falls_with_shots(world):
    best = bayes_optimal(world)
    truth = best.fit(world.ratings)
    users = np.arange(world.ratings.num_users)
    items = world.ratings.item.reshape(len(users), -1)  # every user rates as many
    ratings = world.ratings.rating.reshape(items.shape)
    context = world.ratings.user_features.values

    @jax.jit
    @jax.vmap
    def squared_errors(item, rating, owner, mask):
        x = Inputs(item, jnp.zeros((len(item), 0)), owner)
        known = Examples(map_rows(lambda leaf: leaf[:12], x), rating[:12], mask)
        fast = best.adapt(truth, known)
        query = map_rows(lambda leaf: leaf[12:], x)
        return (best.predict(fast, query) - rating[12:]) ** 2, predictive_variance(fast, query)

    floors = []
    for shots in (0, 3, 12):
        mask = np.tile((np.arange(12) < shots).astype(np.float32), (len(users), 1))
        errors, expected = squared_errors(items, ratings, context, mask)
        # Standard error of the ratio over 400 independent users is about 0.02.
        assert np.mean(errors) / np.mean(expected) == pytest.approx(1, abs=0.07)
        floors.append(float(np.mean(expected)))
    assert floors[0] > 1.2 * floors[1] > 1.2 * floors[2] > 1.2 * world.noise**2


def test_table_and_truth_share_their_numbers(world):
    table = world.ratings
    assert table.item_ids.tolist() == [str(i) for i in range(120)]  # so all items are rated
    assert table.user_ids.tolist() == [str(i) for i in range(400)]
    u, i = table.user, table.item
    signal = world.mean + world.item_bias[i] + world.user_bias[u]
    signal += np.sum(world.user_vectors[u] * world.item_vectors[i], axis=1)
    assert np.std(table.rating - signal) == pytest.approx(world.noise, rel=0.03)
    assert np.unique(table.rating).size > 0.9 * table.rating.size  # not rounded
    users = world.user_vectors - table.user_features.values @ world.user_map.T
    np.testing.assert_allclose(np.cov(users.T), np.eye(4), atol=0.25)


def test_items_follow_their_prior():
    world = make_world(0, users=100, items=3000, ratings_per_user=60, dims=2)
    residual = world.item_vectors - world.ratings.item_features.values @ world.item_map.T
    np.testing.assert_allclose(np.cov(residual.T), world.item_cov, atol=0.03)


def test_popular_items_are_rated_more_often():
    counts = [np.bincount(make_world(1, popularity=p).ratings.item, minlength=200).std() for p in (0.0, 1.0)]
    assert counts[1] > 2 * counts[0]


def test_seed_decides(world):
    again = make_world(3, users=400, items=120, ratings_per_user=24)
    assert again.ratings.sha256 == world.ratings.sha256
    assert make_world(4, users=400, items=120, ratings_per_user=24).ratings.sha256 != world.ratings.sha256


@pytest.mark.parametrize(
    "sizes",
    [{"items": 20, "ratings_per_user": 21}, {"users": 3, "items": 10, "ratings_per_user": 3}, {"noise": 0.0}],
)
def test_impossible_worlds_are_refused(sizes):
    with pytest.raises(ValueError, match="cannot cover|noise must be positive"):
        make_world(0, **sizes)


def test_fit_refuses_another_world(world):
    with pytest.raises(ValueError, match="other items"):
        bayes_optimal(world).fit(make_world(0, items=100).ratings)
