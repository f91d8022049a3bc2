"""Recipes of the classical competitors: each with its grid and its space.

The grid is what the validation tasks choose among at every K when nothing was tuned. Grids and spaces fit rating tables
of 100,000 to a million ratings on any scale: penalties are counts of pseudo-ratings or pseudo-users, or relative to the
variance of the ratings.
"""

from metarec_jax.baselines import (
    als,
    bias,
    content_knn,
    content_regression,
    content_ridge,
    ease,
    fm,
    gp,
    implicit_als,
    item_cosine,
    item_knn,
    means,
)
from metarec_jax.priors.gp import fitted_gp
from metarec_jax.recipes.base import Recipe, classical
from metarec_jax.recipes.space import Between, OneOf, grid

YES_NO = OneOf((False, True))
DIMENSIONS = OneOf((8, 16, 32))

RATING: dict[str, Recipe] = {
    "constant": classical(means.CONSTANT, grid()),
    "user_mean": classical(
        means.USER_MEAN, grid(shrink=(0.0, 2.0, 5.0, 10.0)), {"shrink": Between(0.0, 30.0, log=False)}
    ),
    "item_mean": classical(means.ITEM_MEAN, grid(shrink=(2.0, 5.0, 10.0)), {"shrink": Between(0.5, 50.0)}),
    "popularity": classical(means.POPULARITY, grid(liked=(False, True)), {"liked": YES_NO}),
    "bias": classical(
        bias.BIAS,
        grid(reg_user=(2.0, 5.0, 10.0), reg_item=(2.0, 5.0)),
        {"reg_user": Between(0.5, 30.0), "reg_item": Between(0.5, 30.0)},
    ),
    "item_knn": classical(
        item_knn.ITEM_KNN,
        grid(shrink=(50.0, 100.0, 200.0), damping=(0.3, 1.0)),
        {"neighbours": Between(5, 100), "shrink": Between(10.0, 1000.0), "damping": Between(0.03, 3.0)},
    ),
    "item_cosine": classical(
        item_cosine.ITEM_COSINE,
        grid(shrink=(20.0, 100.0), popularity=(0.001, 0.1, 0.3)),
        {"shrink": Between(0.5, 500.0), "popularity": Between(1e-4, 3.0), "liked": YES_NO},
    ),
    "content_ridge": classical(
        content_ridge.CONTENT_RIDGE,
        grid(content=(0.05, 0.1, 0.2), reg_population=(20.0, 60.0)),
        {"content": Between(0.01, 0.5), "bias": Between(0.03, 0.6), "reg_population": Between(5.0, 500.0)},
    ),
    "als": classical(
        als.ALS,
        grid(reg=(0.085, 0.1, 0.12, 0.15))
        + grid(reg=(5.0, 10.0), weighted=(False,))
        + grid(reg=(0.1, 0.12), dim=(32,)),
        {"reg": Between(0.02, 20.0), "weighted": YES_NO, "dim": DIMENSIONS, "reg_bias": Between(1.0, 20.0)},
    ),
    "ease": classical(
        ease.EASE,
        grid(reg=(500.0, 3e3, 1e4, 3e4), popularity=(0.001, 0.03)),
        {"reg": Between(50.0, 1.5e5), "popularity": Between(1e-4, 3.0), "liked": YES_NO},
    ),
    "gp": classical(
        gp.GP._replace(fit=fitted_gp),
        grid(shrink=(100.0,), em_steps=(0,))
        + grid(shrink=(50.0, 100.0))
        + grid(shrink=(50.0,), reg_population=(20.0,))
        + grid(shrink=(100.0,), rank=(16,))
        + grid(shrink=(200.0,), prior_ratings=(200.0,))
        + grid(shrink=(150.0,), content=(0.25,), reg_population=(100.0,), prior_ratings=(250.0,))
        + grid(shrink=(400.0,), reg_population=(10.0,), prior_ratings=(200.0,)),
        {
            "rank": OneOf((16, 32, 48)),
            "shrink": Between(10.0, 500.0),
            "bias": Between(0.04, 0.4),
            "content": Between(0.02, 0.3),
            "reg_population": Between(5.0, 300.0),
            "em_steps": OneOf((0, 1, 2)),
            "prior_ratings": Between(20.0, 500.0),
        },
    ),
    "fm": classical(
        fm.FM,
        grid(l2=(0.1, 0.13), epochs=(8, 15), reg=(2.0, 4.0)),
        {
            "l2": Between(0.03, 0.4),
            "epochs": Between(4, 30),
            "reg": Between(0.3, 30.0),
            "lr": Between(0.003, 0.03),
            "dim": DIMENSIONS,
        },
    ),
}

# For tables whose tasks are items: the same methods with the roles exchanged, called by what they are there, and those
# that learn from the tasks' content. A mean over the task's ratings is the item's, a neighbourhood is one of users.
ITEM: dict[str, Recipe] = {
    "constant": RATING["constant"],
    "user_mean": RATING["item_mean"],
    "item_mean": RATING["user_mean"],
    "bias": RATING["bias"],
    "user_knn": RATING["item_knn"],
    "content_regression": classical(
        content_regression.CONTENT_REGRESSION,
        grid(reg=(3.0, 10.0), reg_owner=(3.0, 10.0, 30.0)) + grid(reg=(30.0,), reg_owner=(3.0, 10.0)),
        {
            "reg": Between(1.0, 300.0),
            "reg_all": Between(0.1, 100.0),
            "reg_owner": Between(0.3, 100.0),
            "reg_candidate": Between(1.0, 20.0),
        },
    ),
    "content_knn": classical(
        content_knn.CONTENT_KNN,
        grid(neighbours=(30,), damping=(1.0, 3.0, 10.0), reg_owner=(10.0,))
        + grid(neighbours=(100,), damping=(1.0, 3.0, 10.0), reg_owner=(3.0,))
        + grid(neighbours=(100,), damping=(1.0, 3.0), reg_owner=(10.0,)),
        {"neighbours": Between(10, 300), "damping": Between(0.3, 30.0), "reg_owner": Between(0.3, 100.0)},
    ),
    "als": RATING["als"],
    "gp": RATING["gp"]._replace(
        grid=tuple(
            grid(shrink=(50.0, 100.0), reg_population=(5.0, 10.0, 20.0))
            + grid(shrink=(100.0,), reg_population=(60.0,))
            + grid(shrink=(100.0,), reg_population=(10.0,), rank=(16,))
        ),
        space=RATING["gp"].space | {"reg_by_group": YES_NO},
    ),
    "fm": RATING["fm"],
}

# The competitors in ranking a whole catalogue, who see what was liked and nothing else.
PRIOR = (0.001, 0.03, 0.1, 0.3, 1.0, 3.0)
RANKING: dict[str, Recipe] = {
    "popularity": classical(means.POPULARITY, grid()),
    "item_cosine": classical(
        item_cosine.ITEM_COSINE,
        grid(shrink=(0.5, 2.0, 5.0, 20.0, 50.0, 100.0, 200.0), popularity=PRIOR),
        RATING["item_cosine"].space,
    ),
    "ease": classical(
        ease.EASE,
        grid(reg=(50.0, 150.0, 500.0, 1500.0, 5e3, 1.5e4, 5e4, 1.5e5), popularity=PRIOR),
        RATING["ease"].space,
    ),
    "implicit_als": classical(
        implicit_als.IMPLICIT_ALS,
        grid(reg=(3.0, 10.0, 30.0), alpha=(0.5, 1.0), popularity=PRIOR)
        + grid(reg=(30.0, 100.0, 300.0), alpha=(2.0, 5.0, 20.0, 50.0), popularity=PRIOR)
        + grid(reg=(100.0,), alpha=(5.0, 20.0), dim=(64,), popularity=PRIOR),
        {
            "dim": OneOf((8, 16, 32, 64)),
            "reg": Between(1.0, 1000.0),
            "alpha": Between(0.5, 100.0),
            "popularity": Between(1e-4, 3.0),
            "liked": YES_NO,
        },
    ),
}
