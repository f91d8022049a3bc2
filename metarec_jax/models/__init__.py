"""Networks: Flax modules only. Fits to a training table are in `priors`, meta-learning in `learners`."""

from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.content import ContentEncoder
from metarec_jax.models.conv4 import Classifier, Conv4
from metarec_jax.models.generator import Generator
from metarec_jax.models.history import HistoryTerm
from metarec_jax.models.mlp import MLP
from metarec_jax.models.neighbours import Votes
from metarec_jax.models.recommender import Encoder, IdTable, RatingNet, TasteNet
from metarec_jax.models.set_encoder import SetEncoder
from metarec_jax.models.text import ByteNet, Mapped, Reweighted

__all__ = [
    "ByteNet",
    "ChoicePrior",
    "Classifier",
    "ContentEncoder",
    "Conv4",
    "Encoder",
    "Generator",
    "HistoryTerm",
    "IdTable",
    "MLP",
    "Mapped",
    "RatingNet",
    "Reweighted",
    "SetEncoder",
    "TasteNet",
    "Votes",
]
