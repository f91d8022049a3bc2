"""Influences against finite differences, closed forms, and what deleting a rating actually does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import ITEMS, LEARNERS, LEVELS, encoder, taste_net

from metarec_jax.baselines.gp import GP
from metarec_jax.data.synthetic.gaussian_world import bayes_optimal, make_world
from metarec_jax.learners.metric.protonet import shrunk_levels
from metarec_jax.ops.rows import join_rows
from metarec_jax.params import split_fixed
from metarec_jax.serve.explain import deletion_effect, explain_tasks, influence_by_rating, influence_by_weight, reason
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import split_users
from metarec_jax.types import Episode, Examples, Inputs

K, N = 6, 4
WEIGHED = ["maml", "protonet_ratings", "attentive_ridge", "alpaca", "gp"]
CLASSES = {"protonet_ratings"}  # takes ratings as classes


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def task(seed: int = 0, padding: int = 0) -> Episode:
    """K ratings, of which the last `padding` are none, and N candidates, none of them rated."""
    rng = np.random.default_rng(seed)
    items = rng.permutation(ITEMS)[: K + N]

    def part(rows: np.ndarray, real: int) -> Examples:
        n = len(rows)
        x = Inputs(jnp.asarray(rows), jnp.asarray(rng.normal(size=(n, 3))), jnp.ones(2))
        return Examples(x, jnp.asarray(rng.integers(1, 7, n), float), jnp.asarray(np.arange(n) < real, float))

    return Episode(part(items[:K], K - padding), part(items[K:], N))


@functools.cache
def build(name: str):
    """A method and parameters with noise in every entry."""
    rng = np.random.default_rng(1)
    if name == "gp":
        shapes = {"phi": (ITEMS, 5), "mean": (ITEMS,), "intercept": (5,), "population": (2, 5)}
        return GP, {key: jnp.asarray(rng.normal(size=of)) for key, of in shapes.items()} | {"noise": jnp.asarray(0.7)}
    learner = LEARNERS[name]()
    shapes = jax.eval_shape(learner.init, jax.random.key(0), task())
    learnt, _ = split_fixed(shapes)
    fixed = split_fixed(learner.init(jax.random.key(0), task()))[1]
    return learner, jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape)), learnt) | fixed


@functools.cache
def program(name: str):
    """All influences, and predictions, of one method, compiled."""
    method, _ = build(name)
    influences = jax.jit(lambda *asked: [of(method, *asked) for of in (influence_by_rating, influence_by_weight)])
    effect = jax.jit(lambda *asked: deletion_effect(method, *asked))
    return influences, effect, jax.jit(lambda params, support, x: method.predict(method.adapt(params, support), x))


@pytest.mark.parametrize("name", WEIGHED)
def test_influences_are_finite_differences_and_weight_2_is_the_example_twice(name):
    (_, params), (influences, _, predict) = build(name), program(name)
    support, x = task(padding=2).support, task().query.x
    by_rating, by_weight = map(np.asarray, influences(params, support, x))
    assert np.all(by_weight[:, -2:] == 0) and np.all(by_rating[:, -2:] == 0)
    k, step = 2, 1e-4
    for found, field, spread in ((by_weight, "mask", support.mask), (by_rating, "y", support.y)):
        up, down = (predict(params, support._replace(**{field: spread.at[k].add(by)}), x) for by in (step, -step))
        np.testing.assert_allclose(found[:, k], (up - down) / (2 * step), rtol=1e-5, atol=1e-7)
    assert np.abs(by_weight[:, k]).min() > 1e-6 and (np.all(by_rating == 0) if name in CLASSES else np.any(by_rating))
    twice = jax.tree.map(lambda leaf: leaf.at[-1].set(leaf[k]), support)  # in the place of padding
    heavy = support._replace(mask=support.mask.at[k].set(2.0))
    np.testing.assert_allclose(predict(params, heavy, x), predict(params, twice, x), rtol=1e-9)


@pytest.mark.parametrize("name", ["ridge", "gp"])
def test_a_linear_head_is_its_closed_form(name):
    """a = Phi_n S^-1 Phi' / noise with S = I + Phi' Phi / noise; the weight moves a residual, and deletion divides by
    1 - leverage (the leave-one-out formula of ridge regression). With so many candidates forwards, not in reverse."""
    params, (influences, effect, predict) = build(name)[1], program(name)
    support, query = task()
    x, y = join_rows(support.x, query.x), np.asarray(support.y)
    if name == "gp":
        phi, noise = np.asarray(params["phi"])[x.id], 0.7
    else:
        net = jax.jit(lambda params: taste_net().apply({"params": params["net"]}, x)[0])
        phi, noise = np.asarray(net(params)), np.exp(params["log_noise"])
    inverse = np.linalg.inv(np.eye(phi.shape[1]) + phi[:K].T @ phi[:K] / noise)
    share = phi @ inverse @ phi[:K].T / noise
    after, before = (np.asarray(predict(params, support._replace(mask=of(K)), x)) for of in (jnp.ones, jnp.zeros))
    np.testing.assert_allclose(after, before + share @ (y - before[:K]), atol=1e-9)
    by_rating, by_weight = influences(params, support, x)
    np.testing.assert_allclose(by_rating, share, atol=1e-9)
    np.testing.assert_allclose(by_weight, share * (y - after[:K]), atol=1e-9)
    deleted = -share * (y - after[:K]) / (1 - np.diag(share))
    np.testing.assert_allclose(effect(params, support, x), deleted, atol=1e-9)
    if name == "gp":
        rough = jax.tree.map(lambda leaf: leaf.astype(leaf.dtype.name.replace("64", "32")), (params, support, x))
        single = jax.jit(lambda *asked: influence_by_rating(GP, *asked))(*rough)
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, share, atol=1e-5)


def test_prototypes_are_their_closed_form():
    """dp_l / dw_k = (e_k - p_l) / (kappa + n_l) for the level l that k was rated, d log share_m / dw_k =
    [m = l] / (s pi_m + n_m) - 1 / (s + K), and by the slope of a softmax d prediction = sum_m q_m (v_m - prediction) d
    logit_m."""
    (method, params), (influences, _, _) = build("protonet_ratings"), program("protonet_ratings")
    episode, values = task(), np.array(LEVELS)
    fast = jax.jit(method.adapt)(params, episode.support)
    net = jax.jit(lambda params, x: encoder().apply({"params": params["net"]}, x))
    embedded, points = (np.asarray(net(params, part.x)) for part in episode)
    levels = np.asarray(episode.support.y, int) - 1
    counts = np.bincount(levels, minlength=len(values))
    kappa, s, t = (float(np.exp(params[key])) for key in ("log_count", "log_share_count", "log_temperature"))
    prototypes, log_shares = map(np.asarray, shrunk_levels(fast, fast["sums"], fast["counts"]))
    pi = np.asarray(jax.nn.softmax(params["shares"]))
    logits = log_shares - np.square(points[:, None] - prototypes).sum(-1) / t
    q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    slope = q * (values - (q @ values)[:, None])
    expected = np.zeros((N, K))
    for k, level in enumerate(levels):
        moved = (embedded[k] - prototypes[level]) / (kappa + counts[level])
        of_logits = np.full((N, len(values)), -1.0 / (s + K))
        of_logits[:, level] += 1.0 / (s * pi[level] + counts[level]) + 2 * (points - prototypes[level]) @ moved / t
        expected[:, k] = (slope * of_logits).sum(1)
    np.testing.assert_allclose(influences(params, episode.support, episode.query.x)[1], expected, atol=1e-9)


def test_influence_predicts_deletion_in_the_synthetic_world():
    world = make_world(0, users=100, items=40, ratings_per_user=20, dims=2)
    held_out = split_users(world.ratings, seed=0, query=5).test
    tasks, method = episodes(world.ratings, held_out, 8, width=10)[0], bayes_optimal(world)
    found = jax.tree.map(np.asarray, explain_tasks(method, method.fit(world.ratings), tasks, batch=8))
    assert found.effect.shape == (len(held_out.users), 5, 10)
    assert np.all(found.by_weight[..., 8:] == 0) and np.all(found.effect[..., 8:] == 0)
    predicted, effect = -found.by_weight[..., :8], found.effect[..., :8]
    assert np.corrcoef(predicted.ravel(), effect.ravel())[0, 1] > 0.95
    strongest = np.abs(predicted).argmax(-1)[..., None]
    moved = np.take_along_axis(effect, strongest, -1)
    assert np.all(np.sign(moved) == np.sign(np.take_along_axis(predicted, strongest, -1)))
    assert np.abs(moved).mean() > 2 * np.abs(effect).mean()


def test_reasons_read_like_a_sentence():
    titles, ratings = ["Fargo", "Jaws", "Alien", "Heat"], [5, 1, 4, 3.5]
    assert reason(titles, ratings, [0.3, -0.2, 0.1, 0.05]) == (
        "because you gave Fargo five stars and Alien four stars, although you gave Jaws one star"
    )
    assert reason(titles, ratings, [0.0, 0.0, 0.0, -0.1]) == "although you gave Heat 3.5 stars"
    assert reason(titles, ratings, [0.4, 0.3, 0.2, 0.1], limit=3) == (
        "because you gave Fargo five stars, Jaws one star and Alien four stars"
    )
    assert reason(titles, ratings, [0.0] * 4) == reason([], [], []) == ""
