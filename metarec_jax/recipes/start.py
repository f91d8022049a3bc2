"""Where learners of a linear taste start: from the fits to a training table, and in training without a user's own fold.

What was fitted stays as it is: the taste network and every table of ids. Learnt is what a learner adds to it, most of
it a matter of trust (`models.trust`), so that training cannot fit the training users once more.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.data.table import Ratings
from metarec_jax.learners.closed_form.ridge import from_gaussian_process
from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.recommender import TasteNet
from metarec_jax.models.trust import ItemNoise, TrustedTaste
from metarec_jax.params import Path, is_id_table
from metarec_jax.priors import taste
from metarec_jax.priors.choice import CHOICE_DIM
from metarec_jax.priors.taste import Fits
from metarec_jax.recipes.base import Built, example
from metarec_jax.recipes.space import Between, OneOf
from metarec_jax.train.config import Config
from metarec_jax.train.cross_fit import Start
from metarec_jax.types import Array, Learner, Params

# The choice map and the keys are many numbers, and a step of Adam moves every one of them by the rate.
RATES = {"prior": 0.06, "keys": 0.1}
RANK_SPACE = {"outer_lr": Between(2e-3, 3e-2), "weight_decay": Between(0.05, 3.0), "rank": OneOf((16, 32, 48))}
TRUST_SPACE = RANK_SPACE | {"shrink": OneOf((30.0, 50.0, 100.0, 200.0))}
PROCESS = "a Gaussian process, cross-fitted"  # `Recipe.start`
TRUST = Config(outer_lr=1e-2, weight_decay=0.5, steps=1000, patience=1000, episodes=50)


def is_fitted(path: Path) -> bool:
    """Whether a parameter comes from a fit."""
    return is_id_table(path) or "taste" in path or "log_noise" in path


def is_learnt(path: Path) -> bool:
    """Whether a parameter is learnt: whatever is not fitted, and the noise."""
    return not is_fitted(path) or "log_noise" in path


def from_fits(train: Ratings, rule: Callable[[nn.Module], Learner], rank: int, **process: float) -> Built:
    """A learner that starts from a Gaussian process, and from who rated what, fitted to `train`.

    Args:
      train: the training ratings.
      rule: taste network -> learner. Its parameters are `placed`.
      rank: of the process.
      **process: other settings of `priors.gp.fit`.
    """
    process = {"rank": rank, **process}
    content = jnp.asarray(train.item_features.values)
    net = TrustedTaste(TasteNet(train.num_items, dim=1 + content.shape[1] + rank), content.shape[1])
    learner = rule(net)
    params = learner.init(jax.random.key(0), example(train))

    def start(fits: Fits) -> Params:
        return placed(params, fits, content)

    def apart() -> list[Params]:
        return [start(fits) for fits in taste.cross_fitted(train, **process)]

    return Built(learner, start(taste.fitted(train, **process)), RATES, Start(apart, is_fitted, is_learnt))


def known(train: Ratings, net: nn.Module, choice: bool = True) -> dict[str, nn.Module | None]:
    """The modules of a linear taste beside its network `net`: a prior from the choice of items, noises of items."""
    prior = ChoicePrior(train.num_items, net.taste.dim) if choice else None
    return {"prior": prior, "item_noise": ItemNoise(train.num_items)}


def placed(params: Params, fits: Fits, content: Array) -> Params:
    """A learner's parameters with what was fitted in its place, wherever it occurs: the process in a "taste" network
    and its "log_noise", choice vectors in tables of "id_choice" and "id_key", log counts, and noises of items.

    Args:
      params: of any learner on a `TrustedTaste`.
      fits: to the training table, or to a part of it.
      content: [I, F] the candidates' side features.
    """
    tables = {
        "id_choice": fits.choice,
        "id_key": fits.choice[:, :CHOICE_DIM],
        "id_count": fits.choice[:, CHOICE_DIM, None],
        "id_item_noise": jnp.log(fits.item_noise)[:, None],
    }

    def place(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        node = {
            name: {"table": jnp.asarray(tables[name])} if name in tables else place(own) for name, own in node.items()
        }
        if "taste" in node:
            node["taste"] = from_gaussian_process({"net": node["taste"]}, fits.process, 0.0, content)["net"]
        if "log_noise" in node:
            node["log_noise"] = jnp.log(fits.process["noise"])
        return node

    return place(params)
