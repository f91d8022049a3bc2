"""Meta-training: the compiled step, the loop, devices, optimisers, checkpoints."""

from metarec_jax.train.config import Config
from metarec_jax.train.fit import Fitted, Journal, fit
from metarec_jax.train.loop import TrainingError
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.store import FolderStore, Store

__all__ = [
    "Config",
    "Fitted",
    "FolderStore",
    "Journal",
    "Sharding",
    "Store",
    "TrainingError",
    "adam",
    "fit",
]
