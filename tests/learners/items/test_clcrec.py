"""InfoNCE by hand, what it is made of in an episode, and the ridge solution around the content embedding."""

import jax
import jax.numpy as jnp
import numpy as np
from toy_tasks import Raters, perturbed, rated_item

from metarec_jax import objectives
from metarec_jax.learners.items.clcrec import clcrec, info_nce
from metarec_jax.models.recommender import TasteNet
from metarec_jax.ops.rows import map_rows
from metarec_jax.types import Episode

CONTEXT = [1.0, -2.0]
SUPPORT = rated_item([[1.0, 0.0], [0.0, 2.0]], [5.0, 2.0], CONTEXT)
QUERY = rated_item([[1.0, 1.0], [0.0, 2.0]], [4.0, 1.0], CONTEXT, ids=[7, 8])
EPISODE = Episode(SUPPORT, QUERY)


def test_info_nce_by_hand():
    """Cosines with the anchor, whatever the lengths: positives 1 and 0, negatives 0, -1 and one that does not count. At
    a temperature of 1/2 the first is log(1 + e^-2 + e^-4), the second log(1 + 1 + e^-2)."""
    positives, negatives = jnp.array([[5.0, 0.0], [0.0, 1.0]]), jnp.array([[0.0, 3.0], [-1.0, 0.0], [1.0, 0.0]])
    found = info_nce(jnp.array([2.0, 0.0]), positives, negatives, jnp.array([1.0, 1.0, 0.0]), 0.5)
    expected = [np.log(1 + np.exp(-2) + np.exp(-4)), np.log(2 + np.exp(-2))]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_negatives_there_is_nothing_to_tell_apart():
    found = info_nce(jnp.ones(2), jnp.ones((1, 2)), jnp.ones((3, 2)), jnp.zeros(3), 0.5)
    np.testing.assert_allclose(found, [0.0], atol=1e-6)


def test_the_embedding_is_the_ridge_solution_around_the_content_embedding():
    rule = clcrec(Raters(), objectives.squared_error, num_ids=20, noise=0.5, hidden=(4,))
    params = rule.init(jax.random.key(0), EPISODE)
    params["encoder"]["out"] = {"kernel": jnp.zeros((4, 2)), "bias": jnp.array([0.5, 1.0])}
    none = map_rows(lambda leaf: leaf[:0], SUPPORT)
    vectors = np.asarray(SUPPORT.x.content)
    correction = vectors.T @ np.linalg.solve(vectors @ vectors.T + 0.5 * np.eye(2), [2.0 - 0.5, -1.0 - 2.0])
    for support, embedding in ((none, np.array([0.5, 1.0])), (SUPPORT, np.array([0.5, 1.0]) + correction)):
        found = rule.predict(rule.adapt(params, support), QUERY.x)
        np.testing.assert_allclose(found, 3.0 + np.asarray(QUERY.x.content) @ embedding, rtol=1e-5)


def table_rule(num_ids: int, **settings):
    """On a table of user vectors alone: no content."""
    net = TasteNet(num_ids, mean=3.0, dim=2)
    return clcrec(net, objectives.squared_error, num_ids=num_ids, hidden=(4,), **settings)


def without_content(ids, y):
    examples = rated_item(jnp.zeros((len(y), 1)), y, CONTEXT, ids=ids)
    return examples._replace(x=examples.x._replace(content=jnp.zeros((len(y), 0))))


def test_users_who_rated_the_item_are_no_negatives():
    """Where all users have rated it there is nothing to contrast with; one more, and there is."""
    episode = Episode(without_content([0, 1], [5.0, 2.0]), without_content([2, 3], [4.0, 1.0]))
    for users, everyone in ((4, True), (5, False)):
        rule = table_rule(users, negatives=40)
        params = perturbed(jax.jit(rule.init)(jax.random.key(0), episode), 0)
        contrast = jax.jit(rule.loss)(params, episode, jax.random.key(0))[1]["contrast"]
        assert (abs(contrast) < 1e-6) == everyone


def test_the_loss_is_the_error_and_the_two_contrasts():
    """Users 0 and 2 like the item, around a prior mean of 3; the one user who did not rate it is the only negative."""
    episode = Episode(without_content([0, 1], [5.0, 2.0]), without_content([2], [4.0]))
    settings = {"contrast": 0.5, "negatives": 200, "temperature": 1.0, "noise": 1.0}
    params = jax.jit(table_rule(4).init)(jax.random.key(0), episode)
    params["net"] |= {
        "centre": jnp.zeros(2),
        "id_taste": {"table": jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])},
    }
    params["encoder"]["out"] = {"kernel": jnp.zeros((4, 2)), "bias": jnp.array([1.0, 0.0])}

    @jax.jit
    def loss(balance: float):
        return table_rule(4, balance=balance, **settings).loss(params, episode, jax.random.key(0))

    parts = {}
    for balance in (0.0, 1.0, 0.25):
        total, metrics = loss(balance)
        np.testing.assert_allclose(total, metrics["error"] + 0.5 * metrics["contrast"], rtol=1e-6)
        parts[balance] = float(metrics["contrast"])
    np.testing.assert_allclose(parts[0.25], 0.75 * parts[0.0] + 0.25 * parts[1.0], rtol=1e-5)
    drawn = jax.random.randint(jax.random.fold_in(jax.random.key(0), 1), (200,), 0, 4)
    times = np.sum(np.asarray(drawn) == 3)  # how often the other user stands among the negatives

    def contrast(near: float, far: float) -> float:
        return np.log(1 + times * np.exp(far - near))

    of_users = (contrast(1.0, -1.0) + contrast(0.5**0.5, -1.0)) / 2
    np.testing.assert_allclose(parts[0.0], of_users, rtol=1e-4)
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    z = np.linalg.solve(vectors.T @ vectors + np.eye(2), vectors.T @ [2.0, -1.0, 1.0])
    cosine = z[0] / np.linalg.norm(z)
    np.testing.assert_allclose(parts[1.0], contrast(cosine, -cosine), rtol=1e-4)
