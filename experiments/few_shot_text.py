"""Few-shot classification of texts: new intents, or new kinds of news, from one or five sentences of each.

    scripts/run.sh experiments/few_shot_text.py --dataset=clinc150 --features=sentences
    scripts/run.sh experiments/few_shot_text.py --dataset=banking77 --features=ngrams --shots=1 --minutes=5

Results with sentence vectors, 5-way 1-shot / 5-shot, of the best learner (prototypes that the queries refine, on a
learnt map; at five shots of CLINC150 a ridge head that they join) and how much it is better than the best baseline, in
points: CLINC150 98.1 (+0.18) / 99.0 (+0.29), Banking77 97.1 (+0.39) / 98.7 (+0.38), HuffPost 59.1 (+0.50) / 74.1
(+0.31). All are significant; docs/few_shot.md has the intervals and what else was tried.

CLINC150 is split by domain, so that test intents are of another field of life than those of training. The features:
hashed n-grams of words and within words, weighted by tf-idf; the bytes themselves; or vectors of a frozen sentence
encoder, which are computed once by the extra package `metarec_jax[text]`. Baselines read the same features, save that
for bytes they read the n-grams.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.common import few_shot_program
from experiments.common.command_line import parse
from experiments.common.few_shot import Method, Shape, World
from experiments.common.few_shot_baselines import on_features
from metarec_jax import data
from metarec_jax.baselines.few_shot import mean_features
from metarec_jax.data.classes import Classes
from metarec_jax.data.features.text import WIDTH, hashed_ngrams, sentences, utf8
from metarec_jax.data.texts import Texts
from metarec_jax.learners.closed_form.r2d2 import r2d2
from metarec_jax.learners.closed_form.refined_r2d2 import refined_r2d2
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.learners.metric.refined_protonet import refined_protonet
from metarec_jax.models.text import ByteNet, BytesOf, Mapped, Reweighted, dense
from metarec_jax.objectives import cross_entropy
from metarec_jax.train.config import Config
from metarec_jax.types import Array, Learner

EXPERIMENT, TITLE = "few_shot_text", "Few-shot classification of texts"
LENGTH = 96  # bytes of a text that are read


class Start(NamedTuple):
    """Of `refined protonet`, by validation, with sentence vectors: near what does best without training."""

    rank: int  # of what a linear map changes of the features: the fewer classes there are to learn from, the less
    sharpness: float
    balance: float


STARTS = {"clinc150": Start(32, 1.9, 3.0), "banking77": Start(8, 1.0, 3.0), "huffpost": Start(4, 0.5, 1.0)}
DATASET = flags.DEFINE_enum("dataset", "clinc150", list(data.TEXT_SETS), "Data set.")
FEATURES = flags.DEFINE_enum("features", "ngrams", ["ngrams", "bytes", "sentences"], "What stands for a text.")
VECTORS = flags.DEFINE_string("vectors_dir", None, "Folder of sentence vectors; default: in the user's cache.")
flags.adopt_module_key_flags(few_shot_program)


class FeatureSet(NamedTuple):
    """What stands for a text, and the networks that learners start from."""

    classes: Classes
    net: nn.Module
    refined: Callable[[int], Learner]  # number of ways -> the learner that the queries refine
    read: Callable[[Any], Array]  # x of an episode -> the features that baselines read


def methods(found: FeatureSet, ways: int, lr: float, decay: float) -> dict[str, Method]:
    """The learners on their networks; `ways` is of the training episodes of those that may choose."""

    def of(rule: Callable[..., Learner], **options) -> Callable[[int], Learner]:
        return lambda ways: rule(found.net, cross_entropy, ways=ways, **options)

    many = Config(outer_lr=lr, weight_decay=decay, batch=4, steps=1000)
    return {
        "protonet": Method(of(protonet), many, lambda test: Shape(ways, 1, 5)),
        "protonet, 5 shots": Method(of(protonet), many, lambda test: Shape(ways, 5, 5)),
        "r2d2": Method(of(r2d2, lam=10.0), many, lambda test: Shape(ways, test.shots, 5)),
        "refined r2d2": Method(
            of(refined_r2d2),
            Config(outer_lr=lr, weight_decay=decay, batch=8, steps=300),
            lambda test: Shape(test.ways, test.shots, test.query),
            transductive=True,
            note="The queries, labelled softly and evenly over the classes, join the regression of the support.",
        ),
        "refined protonet": Method(
            found.refined,
            Config(outer_lr=lr, weight_decay=decay, batch=8, steps=500),
            lambda test: Shape(test.ways, 5, test.query),  # of one example there is little to learn
            transductive=True,
            note="The queries of an episode, without their classes, move the prototypes, and it has learnt that all "
            "classes are asked about equally often: much of its lead is theirs.",
        ),
    }


def make() -> tuple[World, list[str]]:
    """The data set with the features that the flags ask for, and what is run by default."""
    texts = data.TEXT_SETS[DATASET.value](few_shot_program.data_dir())
    found = FEATURE_SETS[FEATURES.value](texts)
    ways = min(20, len(texts.parts["train"]) // 2)
    learners = methods(found, ways, *RATES[FEATURES.value])
    # As many queries as in the test: what is right for methods that look at them all depends on their number.
    world = World(found.classes, learners, on_features(found.read), texts.texts, validation_query=15)
    return world, list(learners)


def _ngrams(texts: Texts) -> FeatureSet:
    classes, read = hashed_ngrams(texts), functools.partial(dense, width=WIDTH)
    mean = _mean(read, classes)
    return FeatureSet(classes, Reweighted(WIDTH, centre=mean), _refined(WIDTH, mean, texts), read)


def _bytes(texts: Texts) -> FeatureSet:
    both = utf8(texts, LENGTH)
    both = both._replace(x=BytesOf(both.x, hashed_ngrams(texts).x))
    net = ByteNet()
    refined = functools.partial(refined_protonet, net, cross_entropy)
    return FeatureSet(both, net, lambda ways: refined(ways=ways), lambda x: dense(x.bag, WIDTH))


def _sentences(texts: Texts) -> FeatureSet:
    classes = sentences(texts, Path(VECTORS.value) if VECTORS.value else None)
    width, mean = classes.x.shape[1], _mean(_itself, classes)
    return FeatureSet(classes, Reweighted(width, centre=mean), _refined(width, mean, texts), _itself)


def _refined(width: int, mean: Callable, texts: Texts) -> Callable[[int], Learner]:
    start = STARTS[texts.name]
    net, numbers = Mapped(width, start.rank, centre=mean), {"sharpness": start.sharpness, "balance": start.balance}
    return lambda ways: refined_protonet(net, cross_entropy, ways=ways, **numbers)


def _itself(x: Array) -> Array:
    return x


def _mean(read: Callable, classes: Classes) -> Callable:
    """An initialiser: the mean of the training classes' features."""
    mean = np.asarray(mean_features(read, classes))  # training destroys the buffers of the parameters it is given
    return lambda key, shape: jnp.asarray(mean)


FEATURE_SETS = {"ngrams": _ngrams, "bytes": _bytes, "sentences": _sentences}
RATES = {"ngrams": (1e-3, 1e-2), "bytes": (1e-3, 1e-2), "sentences": (1e-3, 1e-2)}  # of learning, of weight decay


def main(argv: list[str]) -> None:
    """Run, or show what an earlier run in this work directory found."""
    few_shot_program.main(argv, sys.modules[__name__], f"{DATASET.value}-{FEATURES.value}", make)


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
