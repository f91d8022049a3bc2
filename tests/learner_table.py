"""Every learner as `test_conformance.py` checks it: for items 0..39 rated 1 to 6, with networks that are quick."""

from metarec_jax import objectives
from metarec_jax.learners.maml import maml
from metarec_jax.learners.protonet import protonet_ratings
from metarec_jax.learners.ridge import ridge
from metarec_jax.learners.transfer import transfer
from metarec_jax.models.recommender import ChoicePrior, Encoder, RatingNet, TasteNet

ITEMS = 40


def rating_net() -> RatingNet:
    return RatingNet(ITEMS, mean=3.5, id_dim=8, side_dim=4, hidden=(16,))


def encoder() -> Encoder:
    return Encoder(ITEMS, id_dim=8, side_dim=4, hidden=(16,))


LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
METRIC = {
    "protonet_ratings": lambda: protonet_ratings(encoder(), objectives.squared_error, levels=LEVELS),
    "protonet_ratings_cosine": lambda: protonet_ratings(
        encoder(), objectives.squared_error, levels=LEVELS, distance="cosine"
    ),
}
GRADIENT = {
    "maml": lambda: maml(rating_net(), objectives.squared_error, lr=0.1, prior_count=2.0),
    "maml_3_steps": lambda: maml(rating_net(), objectives.squared_error, lr=0.05, steps=3),
    "fomaml": lambda: maml(rating_net(), objectives.squared_error, lr=0.1, steps=2, first_order=True),
    "transfer": lambda: transfer(rating_net(), objectives.squared_error, lr=0.1),
}
CLOSED_FORM = {
    "ridge": lambda: ridge(TasteNet(ITEMS, mean=3.5, dim=6), objectives.squared_error),
    "ridge_choice_prior": lambda: ridge(
        TasteNet(ITEMS, mean=3.5, dim=6), objectives.squared_error, prior=ChoicePrior(ITEMS, 6)
    ),
}
MODEL = {}
LEARNERS = METRIC | GRADIENT | CLOSED_FORM | MODEL
FIRST_ORDER = {"fomaml"}  # its update is not the gradient of its loss: the learner's own tests say what it is
