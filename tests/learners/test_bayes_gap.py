"""On a world whose best predictor is known, learners close most of the gap between knowing nothing of a user and it."""

import jax
import numpy as np
import pytest
from helpers import slow_but

from metarec_jax import objectives
from metarec_jax.data.synthetic.gaussian_world import bayes_optimal, make_world
from metarec_jax.eval.predict import mean_squared_errors
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.models.recommender import RatingNet, TasteNet
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import split_users
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import loop, step
from metarec_jax.train.optimisers import adam

ITEMS, K, STEPS = 60, 10, 750
RULES = {
    "ridge": (ridge(TasteNet(ITEMS, 3.5, dim=8), objectives.squared_error), 0.9),
    "maml": (maml(RatingNet(ITEMS, 3.5, id_dim=16), objectives.squared_error, lr=0.05, steps=3), 0.6),
}


@pytest.mark.parametrize("name", slow_but(["ridge"], RULES))
def test_most_of_the_gap_to_the_bayes_optimum_is_closed(name):
    rule, share_at_least = RULES[name]
    world = make_world(
        1, users=1000, items=ITEMS, ratings_per_user=30, dims=2, item_scale=0.4, feature_scale=0.3, user_bias=0.6
    )
    split = split_users(world.ratings, seed=0, query=10)
    train = world.ratings.keep_rows(split.train_rows)
    cold, warm = (episodes(world.ratings, split.test, k, width=K)[0] for k in (0, K))
    optimum = bayes_optimal(world)
    truth = optimum.fit(train)
    # The best anybody can do knowing the items and the user's features, before and after K ratings.
    prior, best = (mean_squared_errors(optimum, truth, tasks).mean() for tasks in (cold, warm))

    tasks = training_tasks(train, support=K, query=10)
    outer = adam(2e-3, STEPS)
    chunk = step.make_train_steps(rule, tasks.sample, outer, batch=32, length=250)

    def validate(params) -> float:
        valid = episodes(world.ratings, split.valid, K)[0]
        return float(mean_squared_errors(rule, params, valid).mean())

    run = loop.start(rule, tasks, outer, jax.random.key(0))
    run = loop.train(chunk, tasks, run, root=jax.random.key(1), steps=STEPS, validate=validate)
    reached = mean_squared_errors(rule, run.best_params, warm).mean()
    share = (prior - reached) / (prior - best)
    assert share_at_least < share <= 1.02, f"{prior:.3f} -> {reached:.3f}, optimum {best:.3f}"
    assert np.isfinite(reached)
