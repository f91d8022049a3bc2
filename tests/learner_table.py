"""Every learner as it is checked, with networks that are quick: on ratings, items 0..39 rated 1 to 6, by
`test_conformance.py`, and as a classifier by `test_classifiers.py`."""

import flax.linen as nn
import numpy as np
import scipy.sparse

from metarec_jax import objectives
from metarec_jax.learners.amortised.anp import anp
from metarec_jax.learners.amortised.cnp import cnp
from metarec_jax.learners.amortised.set_transformer import set_transformer
from metarec_jax.learners.amortised.tanp import tanp
from metarec_jax.learners.closed_form.alpaca import alpaca
from metarec_jax.learners.closed_form.attentive_ridge import Keys, attentive_ridge
from metarec_jax.learners.closed_form.deep_kernel import deep_kernel
from metarec_jax.learners.closed_form.logistic import logistic
from metarec_jax.learners.closed_form.multimodal_ridge import ContentTaste, multimodal_ridge
from metarec_jax.learners.closed_form.r2d2 import r2d2
from metarec_jax.learners.closed_form.refined_r2d2 import refined_r2d2
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.learners.gradient.anil import anil
from metarec_jax.learners.gradient.cavia import cavia
from metarec_jax.learners.gradient.imaml import imaml
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.maml_plus_plus import maml_plus_plus
from metarec_jax.learners.gradient.mamo import mamo
from metarec_jax.learners.gradient.melu import melu
from metarec_jax.learners.gradient.meta_sgd import meta_sgd
from metarec_jax.learners.gradient.paml import paml
from metarec_jax.learners.gradient.proto_maml import proto_maml
from metarec_jax.learners.gradient.reptile import reptile
from metarec_jax.learners.gradient.transfer import transfer
from metarec_jax.learners.items.clcrec import clcrec
from metarec_jax.learners.items.dropoutnet import dropoutnet
from metarec_jax.learners.items.metaemb import metaemb
from metarec_jax.learners.items.mwuf import mwuf
from metarec_jax.learners.metric.lwa import lwa
from metarec_jax.learners.metric.matching import matching, matching_ratings
from metarec_jax.learners.metric.nlba import nlba
from metarec_jax.learners.metric.protonet import protonet, protonet_ratings
from metarec_jax.learners.metric.refined_protonet import refined_protonet
from metarec_jax.learners.metric.relation import Comparator, relation, relation_ratings
from metarec_jax.learners.metric.taste_prototypes import taste_prototypes
from metarec_jax.learners.ranking.neighbour_encoder import neighbour_encoder
from metarec_jax.learners.ranking.set_encoder import set_encoder
from metarec_jax.learners.wrappers.known_support import known_support
from metarec_jax.learners.wrappers.neighbour_residuals import neighbour_residuals
from metarec_jax.learners.wrappers.tied_head import tied_head
from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.content import ContentEncoder, Span
from metarec_jax.models.conv4 import Classifier
from metarec_jax.models.history import History, HistoryTerm
from metarec_jax.models.neighbours import NeighbourLists, Votes
from metarec_jax.models.recommender import Encoder, RatingNet, TasteNet
from metarec_jax.models.set_encoder import SetEncoder
from metarec_jax.models.trust import ItemNoise, TasteRating, TrustedTaste
from metarec_jax.params import named
from metarec_jax.priors.neighbours import count_neighbours

ITEMS = 40
SPANS = (Span("first", 0, 2), Span("second", 2, 5))  # groups of the context


def rating_net(**parts) -> RatingNet:
    return RatingNet(ITEMS, mean=3.5, id_dim=8, side_dim=4, hidden=(16,), **parts)


def taste_net() -> TasteNet:
    return TasteNet(ITEMS, mean=3.5, dim=6)


def trusted_net() -> TrustedTaste:
    return TrustedTaste(taste_net(), content=2)


def fixed_in_taste(path: tuple[str, ...]) -> bool:
    return not named("weights")(path)


def encoder() -> Encoder:
    return Encoder(ITEMS, id_dim=8, side_dim=4, hidden=(16,))


def neighbours() -> NeighbourLists:
    """Of users who like a quarter of the items each, at random."""
    return count_neighbours(
        scipy.sparse.csr_array(np.random.default_rng(0).random((60, ITEMS)) < 0.25, dtype=np.float32), 10, 0.5
    )


def history() -> History:
    """Of 30 owners whom half of the candidates rated, at random."""
    rng = np.random.default_rng(0)
    features, rated = rng.normal(size=(30, 5)), rng.random((ITEMS, 30)) < 0.5
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return History(np.float32(unit), np.ones(5, np.float32), np.float32(rated * rng.normal(size=rated.shape)), rated)


LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
METRIC = {
    "protonet_ratings": lambda: protonet_ratings(encoder(), objectives.squared_error, levels=LEVELS),
    "protonet_ratings_cosine": lambda: protonet_ratings(
        encoder(), objectives.squared_error, levels=LEVELS, distance="cosine"
    ),
    "matching_ratings": lambda: matching_ratings(
        taste_net(), objectives.squared_error, temperature=0.2, null_count=20.0, bias_count=2.0
    ),
    "relation_ratings": lambda: relation_ratings(
        taste_net(), Comparator((8,)), objectives.squared_error, levels=LEVELS
    ),
    "taste_prototypes": lambda: taste_prototypes(
        trusted_net(), objectives.squared_error, prior=ChoicePrior(ITEMS, 6, width=4), item_noise=ItemNoise(ITEMS)
    ),
    "lwa": lambda: lwa(taste_net(), objectives.squared_error, prior_count=2.0),
    "nlba": lambda: nlba(taste_net(), objectives.squared_error, hidden=16, prior_count=2.0),
}
GRADIENT = {
    "maml": lambda: maml(rating_net(), objectives.squared_error, lr=0.1, prior_count=2.0),
    "maml_3_steps": lambda: maml(rating_net(), objectives.squared_error, lr=0.05, steps=3),
    "maml_on_taste": lambda: known_support(
        maml(TasteRating(trusted_net()), objectives.squared_error, lr=1.0, steps=3, shared=fixed_in_taste),
        ChoicePrior(ITEMS, 6, width=4),
        ItemNoise(ITEMS),
        named("weights"),
    ),
    "fomaml": lambda: maml(rating_net(), objectives.squared_error, lr=0.1, steps=2, first_order=True),
    "anil": lambda: anil(rating_net(), objectives.squared_error, lr=0.1, steps=2, prior_count=2.0),
    "melu": lambda: melu(rating_net(), objectives.squared_error, lr=0.1, prior_count=2.0),
    "melu_content": lambda: melu(rating_net(use_ids=False), objectives.squared_error, lr=0.1, first_order=True),
    "cavia": lambda: cavia(rating_net(task_dim=3), objectives.squared_error, lr=0.3, steps=2, prior_count=2.0),
    "meta_sgd": lambda: meta_sgd(rating_net(), objectives.squared_error, lr=0.1, prior_count=2.0),
    "maml_plus_plus": lambda: maml_plus_plus(rating_net(), objectives.squared_error, lr=0.05, steps=3, anneal_steps=20),
    "reptile": lambda: reptile(rating_net(), objectives.squared_error, lr=0.05, steps=3),
    "imaml": lambda: imaml(rating_net(), objectives.squared_error, lam=10.0, lr=0.03, steps=50, prior_count=2.0),
    "paml": lambda: paml(rating_net(), objectives.squared_error, lr=0.1, code_dim=3, prior_count=2.0),
    "mamo": lambda: mamo(rating_net(), objectives.squared_error, lr=0.1, slots=3, prior_count=2.0),
    "transfer": lambda: transfer(rating_net(), objectives.squared_error, lr=0.1),
}
CLOSED_FORM = {
    "ridge": lambda: ridge(TasteNet(ITEMS, mean=3.5, dim=6), objectives.squared_error),
    "ridge_choice_prior": lambda: ridge(
        TasteNet(ITEMS, mean=3.5, dim=6), objectives.squared_error, prior=ChoicePrior(ITEMS, 6, width=4)
    ),
    "attentive_ridge": lambda: attentive_ridge(
        taste_net(),
        objectives.squared_error,
        keys=Keys(ITEMS, 4, width=4),
        prior=ChoicePrior(ITEMS, 6, width=4),
        item_noise=ItemNoise(ITEMS),
    ),
    "multimodal_ridge": lambda: multimodal_ridge(
        ContentTaste(taste_net(), ContentEncoder(SPANS, 6, width=8)),
        objectives.squared_error,
        spans=SPANS,
        prior=ChoicePrior(ITEMS, 6, width=4),
    ),
    "with_history": lambda: neighbour_residuals(
        ridge(taste_net(), objectives.squared_error), HistoryTerm(neighbours=10, gain=0.3), history()
    ),
    "logistic": lambda: logistic(taste_net(), objectives.squared_error, low=1.0, high=6.0),
    "deep_kernel": lambda: deep_kernel(taste_net()),
    "deep_kernel_predictive": lambda: deep_kernel(taste_net(), predictive=0.5),
    "alpaca": lambda: alpaca(taste_net()),
}
MODEL = {
    "cnp": lambda: cnp(taste_net(), width=16),
    "anp": lambda: anp(taste_net(), width=16, heads=2),
    "tanp": lambda: tanp(taste_net(), width=16, latent_dim=4, clusters=3, gated=True),
    "set_encoder": lambda: set_encoder(
        SetEncoder(ITEMS, dim=8, width=16), np.zeros(ITEMS, np.float32), objectives.squared_error
    ),
    "neighbour_encoder": lambda: neighbour_encoder(
        SetEncoder(ITEMS, dim=8, width=16), Votes(), neighbours(), objectives.squared_error
    ),
    "set_transformer": lambda: set_transformer(taste_net(), width=16, heads=2, blocks=1, dropout=0.2),
}
ITEM = {
    "metaemb": lambda: metaemb(taste_net(), objectives.squared_error, lr=1.0, prior_count=5.0, hidden=(8,)),
    "mwuf": lambda: mwuf(taste_net(), objectives.squared_error, lr=1.0, steps=2, prior_count=5.0, hidden=(8,)),
    "dropoutnet": lambda: dropoutnet(taste_net(), objectives.squared_error, drop=0.3, hidden=(8,), dropout=0.2),
    "clcrec": lambda: clcrec(taste_net(), objectives.squared_error, num_ids=ITEMS, contrast=0.05, hidden=(8,)),
}
LEARNERS = METRIC | GRADIENT | CLOSED_FORM | MODEL | ITEM
# Their update is not the gradient of their loss: the learner's own tests say what it is.
FIRST_ORDER = {"fomaml", "melu_content", "reptile"}
CONSTANT_TARGET = {"tanp"}  # a part of the loss compares with what is taken as a constant: no slope of a loss either
# Their update takes inner steps on the newest examples, which is not adapting to all of them.
STEPWISE = {"maml", "maml_3_steps", "fomaml", "anil", "melu", "melu_content", "reptile", "transfer"}
LEARNT_VARIANCE = {"cnp", "anp"}  # of a network, not of a posterior: it need not fall with every rating


class Body(nn.Module):
    """Embeddings [N, 4] of x [N, D]."""

    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Dense(4, name="layer")(x))


WAYS = 3


def classifier() -> Classifier:
    return Classifier(Body(), WAYS)


CLASSIFIERS = {
    "protonet": lambda: protonet(Body(), objectives.cross_entropy, ways=WAYS),
    "matching": lambda: matching(Body(), objectives.cross_entropy, ways=WAYS),
    "relation": lambda: relation(Body(), Comparator((8,)), objectives.one_hot_squared_error, ways=WAYS),
    "refined_protonet": lambda: refined_protonet(Body(), objectives.cross_entropy, ways=WAYS),
    "refined_r2d2": lambda: refined_r2d2(Body(), objectives.cross_entropy, ways=WAYS, lam=1.0),
    "r2d2": lambda: r2d2(Body(), objectives.cross_entropy, ways=WAYS, lam=1.0),
    "proto_maml": lambda: proto_maml(Body(), objectives.cross_entropy, ways=WAYS, lr=0.1, steps=2),
    "maml": lambda: maml(classifier(), objectives.cross_entropy, lr=0.5, steps=3),
    "tied_head": lambda: tied_head(maml(classifier(), objectives.cross_entropy, lr=0.5, steps=3), WAYS),
    "fomaml": lambda: maml(classifier(), objectives.cross_entropy, lr=0.5, steps=3, first_order=True),
    "anil": lambda: anil(classifier(), objectives.cross_entropy, lr=0.5, steps=3),
    "meta_sgd": lambda: meta_sgd(classifier(), objectives.cross_entropy, lr=0.5, steps=2),
    "maml_plus_plus": lambda: maml_plus_plus(classifier(), objectives.cross_entropy, lr=0.5, steps=3),
    "reptile": lambda: reptile(classifier(), objectives.cross_entropy, lr=0.5, steps=3),
    "imaml": lambda: imaml(classifier(), objectives.cross_entropy, lam=2.0, lr=0.2, steps=40),
}
TRANSDUCTIVE = {"refined_protonet", "refined_r2d2"}  # the queries of a task help to answer each other

# Learners without a test file of their own -> the file that tests their mathematics.
COVERED_BY = {
    "amortised/anp": "learners/amortised/test_base.py",
    "amortised/cnp": "learners/amortised/test_base.py",
    "amortised/set_transformer": "learners/amortised/test_base.py",
    "closed_form/linear_taste": "learners/closed_form/test_ridge.py",
    "gradient/feature_conditioned": "learners/gradient/test_paml.py",
    "gradient/proto_maml": "learners/closed_form/test_r2d2.py",
    "gradient/transfer": "learners/gradient/test_reptile.py",
    "metric/nlba": "learners/metric/test_lwa.py",
    "ranking/set_encoder": "learners/ranking/test_neighbour_encoder.py",
}
