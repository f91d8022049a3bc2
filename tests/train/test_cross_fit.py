"""Training from a start that was fitted without the user of the episode."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.params import is_id_table
from metarec_jax.priors import taste
from metarec_jax.priors.folds import user_folds
from metarec_jax.recipes import RECIPES
from metarec_jax.recipes.start import is_learnt, placed
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train.config import Config
from metarec_jax.train.cross_fit import deviating, from_starts, whole, zero

TABLE = make_world(5, users=60, items=30, ratings_per_user=12, dims=2).ratings
LEARNERS = ["ridge", "attentive_ridge", "protonet", "maml", "cnp"]


@functools.cache
def built(name):
    return RECIPES[name].build(TABLE, rank=4)


@functools.cache
def plain_tasks():
    return training_tasks(TABLE, support=5, query=4)


@functools.cache
def tasks(name):
    folded = training_tasks(TABLE, support=5, query=4, folds=user_folds(TABLE))
    return from_starts(folded, built(name).start)


def fold_of(key) -> tuple[int, object]:
    """The fold of an episode's user, and the episode itself, with item numbers as ids."""
    shifted = training_tasks(TABLE, support=5, query=4, folds=user_folds(TABLE))
    number = int(shifted.sample(shifted.data, key).query.x.id[0]) // TABLE.num_items
    return number, plain_tasks().sample(plain_tasks().data, key)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_loss_is_that_of_the_learner_fitted_without_the_user(name):
    own = built(name)
    learner, starts = deviating(own.method, own.params), own.start.apart()
    for seed in range(3):
        key, loss_key = jax.random.key(seed), jax.random.key(100 + seed)
        number, episode = fold_of(key)
        task = tasks(name).sample(tasks(name).data, key)
        found, _ = learner.loss(zero(own.params, own.start), task, loss_key)
        expected, _ = own.method.loss(starts[number], episode, loss_key)
        np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_folds_are_those_of_the_users():
    folds = user_folds(TABLE)
    task = training_tasks(TABLE, support=5, query=4, folds=folds)
    for seed in range(20):
        episode = task.sample(task.data, jax.random.key(seed))
        ids = np.concatenate([part.x.id[part.mask > 0] for part in episode])
        items, numbers = ids % TABLE.num_items, set(ids // TABLE.num_items)
        owners = {user for user in range(TABLE.num_users) if set(items) <= set(TABLE.item[TABLE.user == user])}
        assert len(numbers) == 1 and numbers <= {folds[user] for user in owners}


@pytest.mark.parametrize("name", ["attentive_ridge", "maml"])
def test_a_deviation_is_the_same_for_all_folds_and_stays_after_training(name):
    own = built(name)
    rng = np.random.default_rng(0)
    deviation = jax.tree.map(lambda leaf: jnp.float32(0.1 * rng.normal(size=leaf.shape)), zero(own.params, own.start))
    key, loss_key = jax.random.key(7), jax.random.key(8)
    number, episode = fold_of(key)
    task = tasks(name).sample(tasks(name).data, key)
    found, _ = deviating(own.method, own.params).loss(deviation, task, loss_key)
    expected, _ = own.method.loss(whole(own.start.apart()[number], deviation), episode, loss_key)
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    for path, leaf in jax.tree_util.tree_leaves_with_path(whole(own.params, deviation)):
        names = tuple(str(getattr(part, "key", "")) for part in path)
        if is_id_table(names):
            start = own.params
            for name_ in names:
                start = start[name_]
            np.testing.assert_array_equal(leaf, start)


@pytest.mark.parametrize("name", LEARNERS)
def test_tables_and_the_taste_network_are_not_learnt(name):
    own = built(name)
    names = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(zero(own.params, own.start))}
    assert names and not any("id_" in path or "'taste'" in path for path in names)
    assert any("group" in path for path in names)  # trust is


def test_a_table_that_is_learnt_deviates_by_item():
    """Rows of a deviation of a table are those of the episode's items, in every fold."""
    own = built("ridge")
    start = own.start._replace(learnt=lambda path: is_learnt(path) or "id_bias" in path)
    learner, deviation = deviating(own.method, own.params), zero(own.params, start)
    key = jax.random.key(3)
    _, episode = fold_of(key)
    task = tasks("ridge").sample(tasks("ridge").data, key)
    slope = jax.grad(lambda moved: learner.loss(moved, task, key)[0])(deviation)
    moved = np.flatnonzero(np.abs(np.asarray(slope["net"]["taste"]["id_bias"]["table"])[:, 0]) > 0)
    real = np.concatenate([np.asarray(part.x.id)[np.asarray(part.mask) > 0] for part in episode])
    assert set(moved) == set(real)


def test_what_was_fitted_is_placed_wherever_it_occurs():
    fits = taste.fitted(TABLE.standardised, rank=4, shrink=50.0)
    params = {"a": {"id_count": {"table": 0}}, "log_noise": 0.0, "other": {"id_key": {"table": 0}}, "list": 3}
    found = placed(params, fits, jnp.zeros((30, 0)))
    assert found["a"]["id_count"]["table"].shape == (30, 1) and found["list"] == 3
    assert found["other"]["id_key"]["table"].shape == (30, 32)
    assert float(found["log_noise"]) == pytest.approx(np.log(float(fits.process["noise"])))


@pytest.mark.parametrize(
    ("owners", "steps"), [(80, 64), (160, 128), (740, 512), (755, 512), (4800, 1000), (1, 1), (5, 4)]
)
def test_few_users_train_for_few_steps(owners, steps):
    assert Config(steps=1000, batch=64, episodes=50).bounded(owners).steps == steps
    assert Config(steps=1000, batch=64).bounded(owners).steps == 1000
