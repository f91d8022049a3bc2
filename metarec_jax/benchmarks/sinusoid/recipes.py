"""The learners of the sinusoid benchmark. What they learn does not depend on the number of inner steps, so that it
serves any number of steps on a test task."""

from typing import Any

import flax.linen as nn
import optax

from metarec_jax.learners.gradient.anil import anil
from metarec_jax.learners.gradient.cavia import cavia
from metarec_jax.learners.gradient.imaml import imaml
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.meta_sgd import meta_sgd
from metarec_jax.learners.gradient.reptile import reptile
from metarec_jax.models.mlp import MLP
from metarec_jax.objectives import squared_error
from metarec_jax.recipes.base import Built, Recipe, named
from metarec_jax.train.config import Config

NEVER = 2**31 - 1  # patience: all are trained to the end
TRAINING = Config(outer_lr=4e-3, batch=25, steps=10_000, patience=NEVER)


def _built(rule: Any, lr: float, steps: int, net: nn.Module | None = None, **more: Any) -> Built:
    return Built(rule(net or MLP(), squared_error, lr=lr, steps=steps, **more))


def build_maml(train: Any, lr: float = 0.01, inner_steps: int = 1) -> Built:
    """MAML; the waves that it is trained on say nothing of how it is built."""
    del train
    return _built(maml, lr, inner_steps)


def build_fomaml(train: Any, lr: float = 0.01, inner_steps: int = 1, first_order: bool = True) -> Built:
    """First-order MAML."""
    del train
    return _built(maml, lr, inner_steps, first_order=first_order)


def build_reptile(train: Any, lr: float = 0.01, inner_steps: int = 5) -> Built:
    """Reptile."""
    del train
    return _built(reptile, lr, inner_steps)


def build_meta_sgd(train: Any, lr: float = 0.01, inner_steps: int = 1) -> Built:
    """Meta-SGD; `lr` is where its rates start."""
    del train
    return _built(meta_sgd, lr, inner_steps)


def build_cavia(train: Any, lr: float = 1.0, inner_steps: int = 1, task_dim: int = 5) -> Built:
    """CAVIA with `task_dim` context parameters."""
    del train
    return _built(cavia, lr, inner_steps, MLP(task_dim=task_dim))


def build_imaml(
    train: Any,
    lr: float = 0.01,
    inner_steps: int = 10,
    lam: float = 1.0,
    cg_steps: int = 5,
    damping: float = 5.0,
    optimiser: str = "adam",
) -> Built:
    """iMAML with an inner optimiser of optax. Nothing keeps its loss from becoming too sharp for plain gradient
    descent, as MAML's own derivative does."""
    del train
    inner = {"lam": lam, "cg_steps": cg_steps, "damping": damping, "optimiser": getattr(optax, optimiser)}
    return _built(imaml, lr, inner_steps, **inner)


def build_anil(train: Any, lr: float = 0.01, inner_steps: int = 5) -> Built:
    """ANIL."""
    del train
    return _built(anil, lr, inner_steps)


RECIPES = named(
    {
        "maml": Recipe(build_maml, TRAINING),
        "fomaml": Recipe(build_fomaml, TRAINING),
        "reptile": Recipe(build_reptile, Config(outer_lr=1e-3, batch=25, steps=10_000, patience=NEVER)),
        "meta_sgd": Recipe(build_meta_sgd, TRAINING),
        "cavia": Recipe(build_cavia, TRAINING),
        "imaml": Recipe(build_imaml, Config(outer_lr=2e-3, batch=25, steps=4_000, patience=NEVER)),
        "anil": Recipe(build_anil, TRAINING),
    }
)
