"""Online adaptation: updates equal the batch solution, nothing is read before its time, forgetting is a drift."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_frame, random_table, table_of

from metarec_jax import objectives
from metarec_jax.baselines import gp
from metarec_jax.baselines.bias import BIAS
from metarec_jax.data.table import DataError
from metarec_jax.eval.online import again, errors_by_bin, follow, replayed
from metarec_jax.learners.closed_form.alpaca import alpaca
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.metric.protonet import protonet_ratings
from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.recommender import Encoder, RatingNet, TasteNet
from metarec_jax.models.trust import ItemNoise
from metarec_jax.ops.rows import map_rows
from metarec_jax.priors.gp import fit
from metarec_jax.tasks.hashing import in_time_order
from metarec_jax.tasks.histories import histories
from metarec_jax.tasks.splits import HeldOut
from metarec_jax.types import Episode, Examples

ITEMS, LENGTH = 20, 12
RAW = random_table(3, users=30, items=ITEMS, least=4, most=15)
SMALL = [dataclasses.replace(of, values=of.values / 20.0) for of in (RAW.user_features, RAW.item_features)]
TABLE = dataclasses.replace(RAW, user_features=SMALL[0], item_features=SMALL[1])  # inner steps diverge on large ones
USERS = np.arange(20, 30, dtype=np.int32)
NET = TasteNet(ITEMS, 3.0, 4)
PRIOR, NOISE = ChoicePrior(ITEMS, 4, width=3), ItemNoise(ITEMS)
RULES = {
    "ridge": ridge(NET, objectives.squared_error, prior=PRIOR, item_noise=NOISE),
    "alpaca": alpaca(NET),
    "prototypes": protonet_ratings(
        Encoder(ITEMS, hidden=(8,)), objectives.squared_error, levels=[0.5 * level for level in range(1, 11)]
    ),
}


def tasks(length: int = LENGTH) -> Examples:
    held = HeldOut(USERS, np.zeros((10, 0), np.int64), np.zeros((10, 0), np.int64))
    return jax.tree.map(jnp.asarray, histories(TABLE, held, length))


def some_params(rule):
    """Parameters of which none is zero, so that every part of the learner has its say."""
    one = jax.tree.map(lambda leaf: leaf[0], tasks())
    params = rule.init(jax.random.key(0), Episode(one, one))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return tree.unflatten(
        [leaf + 0.1 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    )


def methods():
    yield from ((name, rule, some_params(rule)) for name, rule in RULES.items())
    yield "process", gp.GP, fit(TABLE, rank=3)


def test_histories_are_the_first_ratings_of_a_user_in_time_order():
    found = tasks(5)
    for row, user in enumerate(USERS):
        rows = in_time_order(TABLE, np.flatnonzero(TABLE.user == user), 0)[:5]
        assert (np.diff(TABLE.timestamp[rows]) >= 0).all()
        real = np.asarray(found.mask[row]) > 0
        assert real.sum() == len(rows) and real[: len(rows)].all()
        np.testing.assert_array_equal(found.x.id[row][real], TABLE.item[rows])
        np.testing.assert_array_equal(found.y[row][real], TABLE.rating[rows])


def test_histories_need_times():
    timeless = table_of(random_frame(0, times=False))
    held = HeldOut(np.int32([0]), np.zeros((1, 0), np.int64), np.zeros((1, 0), np.int64))
    with pytest.raises(DataError, match="has no timestamps"):
        histories(timeless, held, 3)


def test_following_equals_adapting_again():
    """A rank-one step, or running sums, a rating: the solution of the batch at every position."""
    for name, method, params in methods():
        one_by_one, anew = (replayed(replay, method, params, tasks()) for replay in (follow, again))
        np.testing.assert_allclose(one_by_one, anew, atol=1e-5, err_msg=name)


def test_nothing_is_read_before_its_time():
    """Other ratings from position 4 on change nothing up to it, and something after it."""
    later = jnp.arange(LENGTH) >= 4
    other = tasks()._replace(y=jnp.where(later, 6.0 - tasks().y, tasks().y))
    net = RatingNet(ITEMS, 3.0, hidden=(8,))
    steps = maml(net, objectives.squared_error, lr=0.05)
    for name, method, params in [*methods(), ("maml", steps, some_params(steps))]:
        for replay in (follow, again):
            before, after = (np.asarray(replayed(replay, method, params, of)) for of in (tasks(), other))
            np.testing.assert_allclose(before[:, :5], after[:, :5], atol=1e-6, err_msg=name)
            assert np.abs(before[:, 5:] - after[:, 5:]).max() > 1e-3, name


def test_forgetting_is_a_drifting_taste():
    """Against the Gaussian process over time: the weights' covariance between positions s and t is fraction^|s - t|."""
    params, fraction = fit(TABLE, rank=3), 0.8
    one = jax.tree.map(lambda leaf: leaf[3], tasks(6))
    count = int(one.mask.sum())
    phi, prior = np.float64(params["phi"][one.x.id]), np.float64(gp.prior_mean(params, one.x))
    place = np.arange(6)
    kernel = phi @ phi.T * fraction ** np.abs(place[:, None] - place)
    expected = []
    for t in range(count):
        known = kernel[:t, :t] + float(params["noise"]) * np.eye(t)
        expected.append(prior[t] + kernel[t, :t] @ np.linalg.solve(known, np.asarray(one.y - prior)[:t]))
    found = follow(gp.GP, params, one, fraction)
    np.testing.assert_allclose(found[:count], expected, atol=1e-4)


def test_forgetting_is_a_drifting_taste_around_a_prior_that_choice_moves():
    """The same of the ridge head, whose prior mean at any position is that of all items that were rated before it: what
    the ratings said about the deviation from an earlier prior mean counts against the present one."""
    rule, fraction = RULES["ridge"], 0.8
    params, one = some_params(rule), jax.tree.map(lambda leaf: leaf[3], tasks(6))
    count, place = int(one.mask.sum()), np.arange(6)
    phi, mean = map(np.float64, NET.apply({"params": params["net"]}, one.x))
    noise = np.exp(params["log_noise"] + NOISE.apply({"params": params["item_noise"]}, one.x))
    kernel = phi @ phi.T * fraction ** np.abs(place[:, None] - place)
    before = jnp.asarray(place < place[:, None], jnp.float32)
    tastes = jax.vmap(lambda mask: PRIOR.apply({"params": params["prior"]}, one.x, mask))(before)
    expected = []
    for t in range(count):
        prior = mean + phi @ np.float64(tastes[t])
        known = kernel[:t, :t] + np.diag(noise[:t])
        expected.append(prior[t] + kernel[t, :t] @ np.linalg.solve(known, (np.asarray(one.y) - prior)[:t]))
    np.testing.assert_allclose(follow(rule, params, one, fraction)[:count], expected, atol=1e-4)


def test_forgetting_everything_is_the_prior():
    for name, method, params in methods():
        one = jax.tree.map(lambda leaf: leaf[0], tasks())
        if name == "ridge":  # which items were rated still moves its prior
            continue
        nothing = method.predict(method.adapt(params, map_rows(lambda leaf: leaf[:0], one)), one.x)
        kept = method.forget(method.adapt(params, one), jnp.float32(0.0))
        np.testing.assert_allclose(method.predict(kept, one.x), nothing, atol=1e-5, err_msg=name)


def test_maml_takes_its_inner_steps_on_the_newest_rating():
    rule = maml(RatingNet(ITEMS, 3.0, hidden=(8,)), objectives.squared_error, lr=0.02, steps=2)
    one = jax.tree.map(lambda leaf: leaf[0], tasks())
    params, row = some_params(rule), map_rows(lambda leaf: leaf[:1], one)
    fast = rule.update(rule.adapt(params, one), row)
    before, after = (float(abs(rule.predict(f, row.x) - row.y)[0]) for f in (rule.adapt(params, one), fast))
    assert after < before
    np.testing.assert_array_equal(
        rule.predict(rule.update(params, row), one.x), rule.predict(rule.adapt(params, row), one.x)
    )


def test_errors_by_bin():
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], np.float32)
    made = Examples(None, np.zeros((2, 4), np.float32), mask)
    found = errors_by_bin(np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]), made, [0, 1, 3])
    np.testing.assert_allclose(found[0], [1, 25])
    np.testing.assert_allclose(found[1], [(4 + 9) / 2, 36])
    np.testing.assert_allclose(found[3], [16, np.nan])
    np.testing.assert_allclose(found["all"], [30 / 4, 61 / 2])


def test_a_method_without_update_is_adapted_again():
    params = BIAS.fit(TABLE)
    assert BIAS.update is None
    found = replayed(again, BIAS, params, tasks())
    one = jax.tree.map(lambda leaf: leaf[2], tasks())
    known = map_rows(lambda leaf: leaf[:3], one)
    np.testing.assert_allclose(found[2, 3], BIAS.predict(BIAS.adapt(params, known), one.x)[3], atol=1e-6)
