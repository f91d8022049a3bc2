"""The task-adaptive neural process: its divergence, its clusters and its modulation by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax import objectives
from metarec_jax.learners.amortised.tanp import Modulation, gaussian_kl, sharpening, student_t_assignment, tanp
from metarec_jax.models.recommender import TasteNet
from metarec_jax.ops.rows import join_rows
from metarec_jax.types import Episode, Examples, Inputs

ITEMS = 6


def test_kl_by_hand():
    """N(1, 4) from N(0, 1): (4 + 1 - 1 - log 4) / 2; the other way round (1/4 + 1/4 - 1 + log 4) / 2."""
    one, other = (jnp.array([1.0]), jnp.log(jnp.array([4.0]))), (jnp.zeros(1), jnp.zeros(1))
    np.testing.assert_allclose(gaussian_kl(*one, *other), (4 - np.log(4)) / 2, rtol=1e-6)
    np.testing.assert_allclose(gaussian_kl(*other, *one), (-0.5 + np.log(4)) / 2, rtol=1e-6)
    np.testing.assert_allclose(gaussian_kl(*one, *one), 0, atol=1e-7)


def test_kl_is_the_mean_log_ratio_of_the_densities():
    rng = np.random.default_rng(0)
    mean, log_variance, prior_mean, prior_log_variance = rng.normal(size=(4, 3))
    z = mean + np.exp(0.5 * log_variance) * rng.normal(size=(400_000, 3))

    def log_density(mean, log_variance):
        return -0.5 * (log_variance + (z - mean) ** 2 * np.exp(-log_variance)).sum(-1)

    sampled = (log_density(mean, log_variance) - log_density(prior_mean, prior_log_variance)).mean()
    np.testing.assert_allclose(gaussian_kl(mean, log_variance, prior_mean, prior_log_variance), sampled, rtol=0.02)


def test_student_t_assignment_by_hand():
    """Squared distances 0, 1 and 4 with alpha = 1: 1 / (1 + d^2), so 1 : 1/2 : 1/5."""
    centres = jnp.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    np.testing.assert_allclose(student_t_assignment(jnp.zeros(2), centres, 1.0), np.array([10, 5, 2]) / 17, rtol=1e-6)
    # alpha = 3: (1 + d^2 / 3)^-2, so 1 : 9/16 : 9/49
    expected = np.array([1, 9 / 16, 9 / 49])
    np.testing.assert_allclose(student_t_assignment(jnp.zeros(2), centres, 3.0), expected / expected.sum(), rtol=1e-6)


def test_sharpening_by_hand():
    """Shares 3/4 and 1/4 aim at 9/10 and 1/10. Even shares have nowhere to go."""
    expected = 0.9 * np.log(0.9 / 0.75) + 0.1 * np.log(0.1 / 0.25)
    np.testing.assert_allclose(sharpening(jnp.array([0.75, 0.25])), expected, rtol=1e-5)
    np.testing.assert_allclose(sharpening(jnp.full(4, 0.25)), 0, atol=1e-7)


def test_descent_on_sharpening_sharpens():
    """Its slope by the logits is c - p, so what has most gets more; a point moves to the centre that is nearest."""
    logits = jnp.log(jnp.array([0.6, 0.3, 0.1]))
    slope = jax.jit(jax.grad(lambda logits: sharpening(jax.nn.softmax(logits))))(logits)
    target = np.square([0.6, 0.3, 0.1]) / np.square([0.6, 0.3, 0.1]).sum()
    np.testing.assert_allclose(slope, [0.6, 0.3, 0.1] - target, rtol=1e-5)

    centres, point = jnp.array([[0.0, 0.0], [2.0, 0.0]]), jnp.array([0.8, 0.3])
    slope = jax.jit(jax.grad(lambda point: sharpening(student_t_assignment(point, centres, 1.0))))(point)
    before, after = (student_t_assignment(at, centres, 1.0)[0] for at in (point, point - 0.1 * slope))
    assert after > before > 0.5


@pytest.mark.parametrize("gated", [False, True])
def test_modulation_is_film(gated):
    """gamma = tanh 1, beta = tanh 2, eta = tanh 3, delta = sigmoid 0 = 1/2, from a task of one entry, 1."""
    kernels = {"gamma": 1.0, "beta": 2.0, "eta": 3.0, "delta": 0.0}
    params = {name: {"kernel": jnp.full((1, 2), kernels[name])} for name in kernels}
    hidden = jnp.array([[5.0, -1.0]])
    found = Modulation(gated).apply({"params": params}, hidden, jnp.ones(1))
    gamma, beta, eta = np.tanh([1.0, 2.0, 3.0])
    if gated:
        gamma, beta = (gamma + eta) / 2, (beta + eta) / 2
    np.testing.assert_allclose(found, (1 + gamma) * np.asarray(hidden) + beta, rtol=1e-6)
    np.testing.assert_allclose(Modulation(False).apply({"params": params}, hidden, jnp.zeros(1)), hidden)


def episode() -> Episode:
    rng = np.random.default_rng(0)
    items = rng.permutation(ITEMS).astype(np.int32)

    def part(rows) -> Examples:
        n = len(rows)
        x = Inputs(rows, np.zeros((n, 0), np.float32), np.zeros(0, np.float32))
        return Examples(x, rng.uniform(1, 5, size=n).astype(np.float32), np.ones(n, np.float32))

    return jax.tree.map(jnp.asarray, Episode(part(items[:4]), part(items[4:])))


def rule_with(**settings):
    return tanp(TasteNet(ITEMS, mean=3.0, dim=3), width=4, latent_dim=2, clusters=3, **settings)


def trained_enough(rule, task: Episode, log_variance: float):
    """Parameters whose parts all matter, with z's log variance about as given."""
    params = jax.jit(rule.init)(jax.random.key(0), task)
    params["decoder"]["head"]["kernel"] *= 100
    params["latent_head"]["kernel"] = params["latent_head"]["kernel"].at[:, :2].multiply(1000)
    params["latent_head"]["bias"] = jnp.array([0.0, 0.0, log_variance, log_variance])
    return params


def test_loss_is_the_sum_of_its_parts():
    task = episode()
    weights = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 2.0))
    rules = [rule_with(kl_weight=kl, cluster_weight=cluster) for kl, cluster in weights]
    params = trained_enough(rules[0], task, 0.0)
    (error, _), (with_kl, metrics), (with_clusters, _), (both, _) = (
        jax.jit(rule.loss)(params, task, jax.random.key(1)) for rule in rules
    )
    np.testing.assert_allclose(with_kl - error, metrics["kl"], rtol=1e-4)
    np.testing.assert_allclose(metrics["error"], error, rtol=1e-6)
    assert metrics["kl"] > 0.01
    assert with_clusters - error > 0.001
    np.testing.assert_allclose(both, error + 0.5 * (with_kl - error) + 2 * (with_clusters - error), rtol=1e-5)


def test_there_is_no_divergence_when_the_query_says_nothing():
    task = episode()
    nothing = task._replace(query=task.query._replace(mask=jnp.zeros(2)))
    rule = rule_with()
    _, metrics = rule.loss(trained_enough(rule, task, 0.0), nothing, jax.random.key(1))
    np.testing.assert_allclose(metrics["kl"], 0, atol=1e-7)


def test_training_draws_z_and_predicting_takes_its_mean():
    task, rule = episode(), rule_with(kl_weight=0.0, cluster_weight=0.0)
    spread, sure = (trained_enough(rule, task, log_variance) for log_variance in (0.0, -40.0))
    draws = [float(rule.loss(spread, task, jax.random.key(seed))[0]) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    narrow = [float(rule.loss(sure, task, jax.random.key(seed))[0]) for seed in (1, 2)]
    np.testing.assert_allclose(*narrow, rtol=1e-5)
    # a z without spread given support + query is the mean that adapting to all of it finds, but for the task vector
    fast = rule.adapt(sure, task.support)
    everything = join_rows(task.support, task.query)
    fast["z"] = rule.adapt(sure, everything)["z"]
    expected, _ = objectives.squared_error(rule.predict(fast, task.query.x), task.query)
    np.testing.assert_allclose(narrow[0], expected, rtol=1e-5)
