"""Meta-learning algorithms as pure functions of one task, one folder for each family: `learners.maml` and others."""

from metarec_jax.learners.amortised.anp import anp
from metarec_jax.learners.amortised.base import read_support
from metarec_jax.learners.amortised.cnp import cnp
from metarec_jax.learners.amortised.set_transformer import set_transformer
from metarec_jax.learners.amortised.tanp import tanp
from metarec_jax.learners.closed_form.alpaca import alpaca
from metarec_jax.learners.closed_form.attentive_ridge import attentive_ridge
from metarec_jax.learners.closed_form.deep_kernel import deep_kernel
from metarec_jax.learners.closed_form.logistic import logistic
from metarec_jax.learners.closed_form.multimodal_ridge import multimodal_ridge
from metarec_jax.learners.closed_form.r2d2 import r2d2
from metarec_jax.learners.closed_form.refined_r2d2 import refined_r2d2
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.learners.gradient.anil import anil
from metarec_jax.learners.gradient.cavia import cavia
from metarec_jax.learners.gradient.feature_conditioned import feature_conditioned
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
from metarec_jax.learners.items.item_embedding import embedding_learner
from metarec_jax.learners.items.metaemb import metaemb
from metarec_jax.learners.items.mwuf import mwuf
from metarec_jax.learners.metric.embedding import on_embeddings
from metarec_jax.learners.metric.lwa import lwa
from metarec_jax.learners.metric.matching import matching, matching_ratings
from metarec_jax.learners.metric.nlba import nlba
from metarec_jax.learners.metric.protonet import protonet, protonet_ratings
from metarec_jax.learners.metric.refined_protonet import refined_protonet
from metarec_jax.learners.metric.relation import relation, relation_ratings
from metarec_jax.learners.ranking.neighbour_encoder import neighbour_encoder
from metarec_jax.learners.ranking.set_encoder import set_encoder
from metarec_jax.learners.wrappers.feature_groups import on_groups
from metarec_jax.learners.wrappers.neighbour_residuals import neighbour_residuals
from metarec_jax.learners.wrappers.normalised import normalised
from metarec_jax.learners.wrappers.standardised import standardised
from metarec_jax.learners.wrappers.tied_head import tied_head

__all__ = [
    "alpaca",
    "anil",
    "anp",
    "attentive_ridge",
    "cavia",
    "clcrec",
    "cnp",
    "deep_kernel",
    "dropoutnet",
    "embedding_learner",
    "feature_conditioned",
    "imaml",
    "logistic",
    "lwa",
    "maml",
    "maml_plus_plus",
    "mamo",
    "matching",
    "matching_ratings",
    "melu",
    "meta_sgd",
    "metaemb",
    "multimodal_ridge",
    "mwuf",
    "neighbour_encoder",
    "neighbour_residuals",
    "nlba",
    "normalised",
    "on_embeddings",
    "on_groups",
    "paml",
    "proto_maml",
    "protonet",
    "protonet_ratings",
    "r2d2",
    "read_support",
    "refined_protonet",
    "refined_r2d2",
    "relation",
    "relation_ratings",
    "reptile",
    "ridge",
    "set_encoder",
    "set_transformer",
    "standardised",
    "tanp",
    "tied_head",
    "transfer",
]
