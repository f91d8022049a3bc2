"""Classical competitors: name -> (Baseline, the settings of `fit` that validation tasks choose among at every K).

The grids fit rating tables of 100,000 to a million ratings on any scale: penalties are counts of pseudo-ratings or
pseudo-users, or relative to the variance of the ratings.
"""

from typing import Any

from metarec_jax.baselines import als, bias, content_ridge, ease, fm, gp, item_cosine, item_knn, means
from metarec_jax.types import Baseline

BASELINES: dict[str, tuple[Baseline, list[dict[str, Any]]]] = {
    "constant": (means.CONSTANT, [{}]),
    "user_mean": (means.USER_MEAN, [{"shrink": shrink} for shrink in (0.0, 2.0, 5.0, 10.0)]),
    "item_mean": (means.ITEM_MEAN, [{"shrink": shrink} for shrink in (2.0, 5.0, 10.0)]),
    "popularity": (means.POPULARITY, [{"liked": liked} for liked in (False, True)]),
    "bias": (bias.BIAS, [{"reg_user": u, "reg_item": i} for u in (2.0, 5.0, 10.0) for i in (2.0, 5.0)]),
    "item_knn": (item_knn.ITEM_KNN, [{"shrink": s, "damping": d} for s in (50.0, 100.0, 200.0) for d in (0.3, 1.0)]),
    "item_cosine": (
        item_cosine.ITEM_COSINE,
        [{"shrink": s, "popularity": p} for s in (20.0, 100.0) for p in (0.001, 0.1, 0.3)],
    ),
    "content_ridge": (
        content_ridge.CONTENT_RIDGE,
        [{"content": c, "reg_population": r} for c in (0.05, 0.1, 0.2) for r in (20.0, 60.0)],
    ),
    "als": (
        als.ALS,
        [{"reg": reg} for reg in (0.085, 0.1, 0.12, 0.15)]
        + [{"reg": reg, "weighted": False} for reg in (5.0, 10.0)]
        + [{"reg": reg, "dim": 32} for reg in (0.1, 0.12)],
    ),
    "ease": (ease.EASE, [{"reg": r, "popularity": p} for r in (500.0, 3e3, 1e4, 3e4) for p in (0.001, 0.03)]),
    "gp": (
        gp.GP,
        [
            {"shrink": 100.0, "em_steps": 0},
            {"shrink": 50.0},
            {"shrink": 100.0},
            {"shrink": 50.0, "reg_population": 20.0},
            {"shrink": 100.0, "rank": 16},
            {"shrink": 200.0, "prior_ratings": 200.0},
        ],
    ),
    "fm": (fm.FM, [{"l2": l2, "epochs": epochs} for l2 in (0.1, 0.13) for epochs in (8, 15)]),
}
