"""A learner on what neighbours by content leave: the term by hand, who is left out in training, and what it is for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from metarec_jax import objectives
from metarec_jax.data.table import Features, Ratings, build
from metarec_jax.eval.predict import mean_squared_errors
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.learners.wrappers.neighbour_residuals import neighbour_residuals
from metarec_jax.models.history import History, HistoryTerm
from metarec_jax.models.recommender import TasteNet
from metarec_jax.params import FIXED
from metarec_jax.priors import history as histories
from metarec_jax.priors.history import read_history
from metarec_jax.recipes import ITEM_RECIPES
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import split_users
from metarec_jax.tasks.users import training_tasks
from metarec_jax.types import Episode, Examples, Inputs

AUTHORS = 12


@functools.cache
def books() -> Ratings:
    """Owners are books by one of some authors, candidates are readers who like authors for no reason that few numbers
    could say."""
    rng = np.random.default_rng(0)
    taste = rng.choice([-1.0, 1.0], (60, AUTHORS))
    rows = [
        (f"u{book}", f"i{reader}", 3.5 + taste[reader, book % AUTHORS] + 0.3 * rng.normal())
        for book in range(10 * AUTHORS)
        for reader in rng.choice(60, 30, replace=False)
    ]
    frame = pl.DataFrame(rows, schema={"user": pl.String, "item": pl.String, "rating": pl.Float32}, orient="row")
    ids = [f"u{book}" for book in range(10 * AUTHORS)]
    one_hot = np.eye(AUTHORS, dtype=np.float32)[np.arange(10 * AUTHORS) % AUTHORS]
    # Of its own a book has a shade of something that no other has, so that it is known from the others of its author.
    values = np.concatenate([one_hot, rng.normal(0.0, 0.1, (len(ids), 3)).astype(np.float32)], 1)
    names = tuple(f"author={k}" for k in range(AUTHORS)) + tuple(f"shade={k}" for k in range(3))
    return build("books", frame, source="a test", user_features=(ids, Features(names, values)))


def head():
    return ridge(TasteNet(books().num_items, 3.5, 4), objectives.squared_error)


@functools.cache
def episode() -> Episode:
    tasks = training_tasks(books(), support=4, query=6, vary_support=False)
    return jax.jit(tasks.sample)(tasks.data, jax.random.key(0))


def learner_and_params(**term: float):
    inner = head()
    history = read_history(books(), inner, inner.init(jax.random.key(1), episode()))
    learner = neighbour_residuals(inner, HistoryTerm(**term), history)
    return inner, learner, learner.init(jax.random.key(1), episode())


def test_the_term_by_hand():
    """Two of three owners are nearest, the cosines 1 and 0.6; candidate 1 rated the second one alone."""
    features = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    left = jnp.array([[0.5, -1.0, 7.0], [0.0, 2.0, 7.0]])
    history = History(features, jnp.ones(2), left, jnp.array([[True, True, True], [False, True, True]]))
    term = HistoryTerm(neighbours=2, gain=0.8, damping=0.5, power=2.0)
    x = Inputs(jnp.array([0, 1]), jnp.zeros((2, 0)), jnp.array([3.0, 0.0]))
    params = term.init(jax.random.key(0), history, x, False)
    expected = [0.8 * (0.5 - 0.36) / (1.36 + 0.5), 0.8 * 0.72 / (0.36 + 0.5)]
    np.testing.assert_allclose(term.apply(params, history, x, False), expected, rtol=1e-5)
    without = [0.8 * -0.36 / (0.36 + 0.5), 0.8 * 0.72 / (0.36 + 0.5)]  # the first looks the same as the owner
    np.testing.assert_allclose(term.apply(params, history, x, True), without, rtol=1e-5)


def test_the_learner_adapts_to_what_is_left():
    inner, learner, params = learner_and_params()
    task = episode()
    term = functools.partial(HistoryTerm().apply, {"params": params["history"]}, params[FIXED], leave_out=False)
    left = task.support._replace(y=task.support.y - term(x=task.support.x))
    expected = term(x=task.query.x) + inner.predict(inner.adapt(params, left), task.query.x)
    np.testing.assert_allclose(learner.predict(learner.adapt(params, task.support), task.query.x), expected, rtol=1e-5)
    assert np.abs(term(x=task.query.x)).max() > 0.1


def test_without_gain_it_is_the_learner():
    inner, learner, params = learner_and_params(gain=0.0)
    task = episode()
    expected = inner.predict(inner.adapt(params, task.support), task.query.x)
    np.testing.assert_allclose(learner.predict(learner.adapt(params, task.support), task.query.x), expected, rtol=1e-5)


def test_in_training_the_owner_of_the_episode_is_not_in_the_history():
    _, learner, params = learner_and_params()
    task, history = episode(), params[FIXED]
    (own,) = np.flatnonzero((books().user_features.values == np.asarray(task.query.x.context)).all(1))
    other = params | {FIXED: history._replace(left=history.left.at[:, own].add(9.0))}

    def both(params):
        loss = learner.loss(params, task, jax.random.key(0))[0]
        return loss, learner.predict(learner.adapt(params, task.support), task.query.x)

    np.testing.assert_array_equal(both(params)[0], both(other)[0])
    assert np.abs(both(params)[1] - both(other)[1]).max() > 0.1


def test_what_is_kept_is_the_rating_less_what_was_expected():
    inner = head()
    params = inner.init(jax.random.key(1), episode())
    table = books()
    history = read_history(table, inner, params)
    row = 100
    who, what = table.user[row], table.item[row]
    x = Inputs(jnp.array([what]), jnp.zeros((1, 0)), jnp.asarray(table.user_features.values[who]))
    expected = inner.predict(inner.adapt(params, Examples(x, jnp.zeros(1), jnp.zeros(1))), x)
    np.testing.assert_allclose(history.left[what, who], table.rating[row] - expected[0], rtol=1e-5)
    assert history.rated.sum() == len(table.rating) and not history.left[~history.rated].any()


def test_a_table_too_large_to_keep_is_refused(monkeypatch):
    monkeypatch.setattr(histories, "MAX_CELLS", 100)
    with pytest.raises(ValueError, match="books is 120 x 60"):
        read_history(books(), head(), {})


def test_it_knows_what_few_weights_cannot_say():
    """Readers like authors at random: neighbours know it, a map of rank 4 does not."""
    split = split_users(books(), seed=0, query=10)
    train, error = books().keep_rows(split.train_rows), {}
    for name in ("multimodal_ridge", "history_ridge"):
        built = ITEM_RECIPES[name].build(train, rank=4)
        tasks, _ = episodes(books(), split.test, 0)
        error[name] = float(mean_squared_errors(built.method, built.params, tasks).mean())
    assert error["history_ridge"] < 0.6 * error["multimodal_ridge"]
