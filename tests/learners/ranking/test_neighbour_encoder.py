"""The set encoder with neighbours: counts against their definition, a user left out of them exactly, fixed data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table

from metarec_jax import objectives
from metarec_jax.learners.ranking.neighbour_encoder import neighbour_encoder
from metarec_jax.learners.ranking.set_encoder import set_encoder
from metarec_jax.models.neighbours import Pairs, Votes, leave_out, pairs
from metarec_jax.models.set_encoder import SetEncoder
from metarec_jax.params import FIXED
from metarec_jax.priors.neighbours import count_neighbours
from metarec_jax.priors.statistics import rating_matrix
from metarec_jax.recipes import RANKING_RECIPES
from metarec_jax.tasks.catalogue import ImplicitUser, catalogue_episode, liked_only, training_catalogue
from metarec_jax.train import loop
from metarec_jax.train import step as chunks
from metarec_jax.train.optimisers import adam

LIKED = liked_only(random_table(5, users=60, items=25, least=2, most=20), 3.0)
MATRIX = rating_matrix(LIKED)
ITEMS = LIKED.num_items


def dense(found: Pairs) -> np.ndarray:
    """[K, I] counts of pairs."""
    counts = np.zeros((len(found.ids), ITEMS))
    np.add.at(counts, (np.arange(len(counts))[:, None], np.asarray(found.ids)), np.asarray(found.counts))
    return counts


@pytest.mark.parametrize("discount", [0.0, 0.5, 1.0])
def test_counts_are_those_of_the_users_who_like_both(discount):
    likes = MATRIX.toarray()
    own = likes.sum(1)
    wanted = likes.T @ (likes * ((own.mean() / own) ** discount)[:, None])
    np.fill_diagonal(wanted, 0.0)
    full = count_neighbours(MATRIX, ITEMS, discount)
    np.testing.assert_allclose(dense(pairs(full, jnp.arange(ITEMS))), wanted, rtol=1e-5)
    np.testing.assert_array_equal(full.likes, likes.sum(0))
    short = count_neighbours(MATRIX, 4, discount)
    best = -np.sort(-wanted / np.sqrt(likes.sum(0)), axis=1)[:, :4]
    np.testing.assert_allclose(short.counts / np.sqrt(likes.sum(0))[short.ids], best, rtol=1e-5)


@pytest.mark.parametrize("discount", [0.0, 0.5])
def test_counts_without_a_user_are_those_of_a_table_without_him(discount):
    lists = count_neighbours(MATRIX, ITEMS, discount)
    for user in np.flatnonzero(np.diff(LIKED.user_offsets) >= 5)[:5]:
        items = LIKED.item[LIKED.user == user]
        liker = ImplicitUser(jnp.asarray([*items[:3], -1]), jnp.asarray(items[3:]), jnp.zeros(0))
        support, query = catalogue_episode(jnp.zeros((ITEMS, 0)), liker)
        found = leave_out(lists, support, query)
        others = count_neighbours(rating_matrix(LIKED.keep_rows(np.flatnonzero(LIKED.user != user))), ITEMS, discount)
        wanted = pairs(others, support.x.id)
        unit = (lists.typical / others.typical) ** discount  # a count's: the users' mean is another without him
        found_counts, wanted_counts = (np.delete(dense(part)[:3], items[:3], axis=1) for part in (found, wanted))
        np.testing.assert_allclose(found_counts, wanted_counts * unit, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.known_likes[:3], wanted.known_likes[:3])
        np.testing.assert_allclose(np.delete(found.likes, items[:3]), np.delete(wanted.likes, items[:3]))


def test_votes_are_item_knn_with_a_prior():
    """With a gain of 1 and a tilt of -1, beside the log of the popularity: exp is the sum of the shrunk counts."""
    found = pairs(count_neighbours(MATRIX, ITEMS, 0.0), jnp.array([3, 7]))
    start = Votes().init(jax.random.key(0), found, jnp.ones(2))["params"]
    still = start | {"log_gain": jnp.zeros(2), "tilt": jnp.array([-1.0, 0.0])}
    term = Votes().apply({"params": still}, found, jnp.ones(2))
    n = MATRIX.toarray().sum(0) + 1.0
    a, b, shrink, floor = (
        np.asarray(start[name]) @ [1.0, np.log(2.0)]
        for name in ("power_known", "power_sought", "log_shrink", "log_floor")
    )
    shrunk = dense(found) / (n[[3, 7], None] ** a * n**b + np.exp(shrink))
    wanted = shrunk.sum(0) + np.exp(floor) * n / n.mean()
    np.testing.assert_allclose(np.exp(term + np.log(n)), wanted, rtol=1e-4)


@pytest.mark.parametrize("name", ["set_encoder", "neighbour_encoder"])
def test_a_stranger_is_shown_what_is_popular(name):
    """With nothing known the scores are the log of the popularity, exactly and after training too."""
    recipe = RANKING_RECIPES[name]
    built = recipe.build(LIKED, 4, None, dim=4, width=8, dropout=0.5, reg=2.0)
    tasks, optimiser = training_catalogue(LIKED, support=3), adam(1e-2, 4)
    chunk = chunks.make_train_steps(built.method, tasks.sample, optimiser, batch=8, length=4)
    params = chunk(tasks.data, loop.start_from(built.params, optimiser).state, jax.random.key(1))[0].params
    stranger = ImplicitUser(jnp.full(3, -1), jnp.zeros(1, jnp.int32), jnp.zeros(0))
    episode = catalogue_episode(jnp.zeros((ITEMS, 0)), stranger)
    scores = built.method.predict(built.method.adapt(params, episode.support), episode.query.x)
    np.testing.assert_allclose(scores, np.log(MATRIX.toarray().sum(0) + 1.0), rtol=1e-6)
    known = built.method.adapt(params, episode.support._replace(mask=jnp.array([1.0, 0.0, 0.0])))
    assert np.abs(built.method.predict(known, episode.query.x) - scores).max() > 0.1


def test_a_training_step_gathers_no_table_for_every_user():
    """The ids of the candidates are the same in all episodes of a batch, so scores are one product with the table."""
    net, batch = SetEncoder(ITEMS, dim=256, width=8), 32
    learner = set_encoder(net, jnp.zeros(ITEMS), objectives.catalogue_cross_entropy)
    tasks, optimiser = training_catalogue(LIKED, support=3), adam(1e-2, 4)
    chunk = chunks.make_train_steps(learner, tasks.sample, optimiser, batch=batch, length=2)
    state = loop.start(learner, tasks, optimiser, jax.random.key(0)).state
    scratch = chunk.lower(tasks.data, state, jax.random.key(1)).compile().memory_analysis().temp_size_in_bytes
    assert scratch < batch * ITEMS * net.dim * 4


def test_the_lists_are_no_part_of_what_is_trained():
    lists = count_neighbours(MATRIX, 6, 0.5)
    learner = neighbour_encoder(SetEncoder(ITEMS, 4, 8), Votes(), lists, objectives.catalogue_ndcg)
    tasks, optimiser = training_catalogue(LIKED, support=3), adam(1e-2, 4, weight_decay=0.1)
    run = loop.start(learner, tasks, optimiser, jax.random.key(0))
    assert lists.ids.shape not in {leaf.shape for leaf in jax.tree.leaves(run.state.opt_state)}
    before = jax.tree.map(np.array, run.state.params)
    chunk = chunks.make_train_steps(learner, tasks.sample, optimiser, batch=8, length=4)
    after = chunk(tasks.data, run.state, jax.random.key(1))[0].params
    jax.tree.map(np.testing.assert_array_equal, after[FIXED], before[FIXED])
    assert all(
        (old != new).any() for old, new in zip(*map(jax.tree.leaves, (before["votes"], after["votes"])), strict=True)
    )


def test_the_encoder_learns_by_itself_until_the_votes_are_let_in():
    """Before, the loss is that of a set encoder on the log of the popularity and the votes have no gradient; after,
    it is that of a learner which has had votes all along."""
    net, lists = SetEncoder(ITEMS, 4, 8), count_neighbours(MATRIX, 6, 0.5)
    late, always = (neighbour_encoder(net, Votes(), lists, objectives.catalogue_ndcg, alone=alone) for alone in (10, 0))
    by_itself = set_encoder(net, jnp.log1p(lists.likes), objectives.catalogue_cross_entropy)
    tasks = training_catalogue(LIKED, support=3)
    episode = tasks.sample(tasks.data, jax.random.key(3))
    assert float(episode.support.mask.sum()) > 0
    params, key = late.init(jax.random.key(0), episode), jax.random.key(1)

    def loss(learner, params, step):
        return learner.loss(params, episode, key, step)[0]

    def votes_gradient(step):
        return jax.grad(lambda votes: loss(late, params | {"votes": votes}, step))(params["votes"])

    alone = {"net": params["net"], FIXED: jnp.log1p(lists.likes)}
    np.testing.assert_allclose(loss(late, params, 9), loss(by_itself, alone, 9), rtol=1e-6)
    np.testing.assert_allclose(loss(late, params, 10), loss(always, params, 10), rtol=1e-6)
    assert not any(leaf.any() for leaf in jax.tree.leaves(votes_gradient(9)))
    assert all(leaf.any() for leaf in jax.tree.leaves(votes_gradient(10)["log_gain"]))
