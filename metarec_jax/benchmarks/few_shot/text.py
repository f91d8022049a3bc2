"""The learners and baselines of few-shot classification of texts, on what stands for a text.

Features are hashed n-grams of words and within words, weighted by tf-idf; the bytes themselves; or vectors of a frozen
sentence encoder. Baselines read the same features, save that for bytes they read the n-grams.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from metarec_jax.baselines.few_shot import mean_features
from metarec_jax.benchmarks.base import Benchmark
from metarec_jax.benchmarks.few_shot.base import FewShotData, Method, Protocol, Shape
from metarec_jax.benchmarks.few_shot.baselines import on_features
from metarec_jax.benchmarks.few_shot.benchmark import few_shot
from metarec_jax.data.classes import Classes
from metarec_jax.data.features.text import WIDTH, hashed_ngrams, sentences, utf8
from metarec_jax.data.texts import Texts
from metarec_jax.learners.closed_form.r2d2 import r2d2
from metarec_jax.learners.closed_form.refined_r2d2 import refined_r2d2
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.learners.metric.refined_protonet import refined_protonet
from metarec_jax.models.text import ByteNet, Mapped, Reweighted, TextBytes, dense
from metarec_jax.objectives import cross_entropy
from metarec_jax.recipes.base import Recipe, named
from metarec_jax.train.config import Config
from metarec_jax.types import Array, Learner

Kind = Literal["ngrams", "bytes", "sentences"]
LENGTH = 96  # bytes of a text that are read


class Start(NamedTuple):
    """Of `refined protonet`, by validation, with sentence vectors: near what does best without training."""

    rank: int  # of what a linear map changes of the features: the fewer classes there are to learn from, the less
    sharpness: float
    balance: float


STARTS = {"clinc150": Start(32, 1.9, 3.0), "banking77": Start(8, 1.0, 3.0), "huffpost": Start(4, 0.5, 1.0)}
OTHER = Start(8, 1.0, 3.0)  # of all other sets


class FeatureSet(NamedTuple):
    """What stands for a text, and the networks that learners start from."""

    classes: Callable[[Texts], Classes]
    net: Callable[[FewShotData], nn.Module]
    refined: Callable[[FewShotData, int], Learner]  # (data, number of ways) -> the learner that the queries refine
    read: Callable[[Any], Array]  # x of an episode -> the features that baselines read


def texts(
    shapes: Sequence[Shape] = (Shape(5, 1, 15), Shape(5, 5, 15)),
    *,
    features: Kind = "ngrams",
    vectors: Path | None = None,
    episodes: int = 600,
    validation: int = 200,
    minutes: float | None = None,
) -> Benchmark:
    """New kinds of texts, from K of each; the data are `Texts`.

    Args:
      shapes: of the test episodes.
      features: what stands for a text.
      vectors: folder of the sentence vectors; None: in the user's cache.
      episodes, validation: test and validation episodes.
      minutes: of training of each learner, instead of its steps.
    """
    own = {"ngrams": _ngrams, "bytes": _bytes, "sentences": partial(_sentences, vectors)}[features]()
    # As many queries as in the test: what is right for methods that look at them all depends on their number.
    protocol = Protocol(tuple(shapes), episodes, validation, validation_query=15, minutes=minutes)
    learners = recipes(own)

    def table(data: Texts) -> FewShotData:
        return FewShotData(own.classes(data), data.texts)

    title = "Few-shot classification of texts"
    return few_shot("few_shot_text", title, protocol, on_features(own.read) | learners, tuple(learners), table)


def recipes(features: FeatureSet) -> dict[str, Recipe]:
    """Name -> the learner and how it is trained."""
    long = Config(outer_lr=1e-3, weight_decay=1e-2, batch=4, steps=1000)
    short = Config(outer_lr=1e-3, weight_decay=1e-2, batch=8, steps=500)

    def on_net(rule: Callable[..., Learner], **options: Any) -> Callable[[FewShotData, int], Learner]:
        return lambda data, ways: rule(features.net(data), cross_entropy, ways=ways, **options)

    refined_ridge = Method(
        on_net(refined_r2d2),
        note="The queries, labelled softly and evenly over the classes, join the regression of the support.",
    )
    refined = Method(
        features.refined,
        lambda test, data: Shape(test.ways, 5, test.query),  # of one example there is little to learn
        note="The queries of an episode, without their classes, move the prototypes, and it has learnt that all "
        "classes are asked about equally often: much of its lead is theirs.",
    )
    learners = {
        "protonet": Recipe(Method(on_net(protonet), lambda test, data: Shape(_ways(data), 1, 5)), long),
        "protonet, 5 shots": Recipe(Method(on_net(protonet), lambda test, data: Shape(_ways(data), 5, 5)), long),
        "r2d2": Recipe(Method(on_net(r2d2, lam=10.0), lambda test, data: Shape(_ways(data), test.shots, 5)), long),
        "refined r2d2": Recipe(refined_ridge, Config(**vars(short) | {"steps": 300}), transductive=True),
        "refined protonet": Recipe(refined, short, transductive=True),
    }
    return named({name: recipe._replace(output="class") for name, recipe in learners.items()})


def _ways(data: FewShotData) -> int:
    """Of the training episodes of those that may choose."""
    return min(20, len(data.classes.parts["train"]) // 2)


def _ngrams() -> FeatureSet:
    read = partial(dense, width=WIDTH)

    def net(data: FewShotData) -> nn.Module:
        return Reweighted(WIDTH, centre=data.once(_centre, read))

    return FeatureSet(hashed_ngrams, net, lambda data, ways: _mapped(data, WIDTH, read, ways), read)


def _bytes() -> FeatureSet:
    def classes(data: Texts) -> Classes:
        numbers = utf8(data, LENGTH)
        return numbers._replace(x=TextBytes(numbers.x, hashed_ngrams(data).x))

    def refined(data: FewShotData, ways: int) -> Learner:
        del data
        return refined_protonet(ByteNet(), cross_entropy, ways=ways)

    return FeatureSet(classes, lambda data: ByteNet(), refined, lambda x: dense(x.bag, WIDTH))


def _sentences(folder: Path | None) -> FeatureSet:
    def net(data: FewShotData) -> nn.Module:
        return Reweighted(data.classes.x.shape[1], centre=data.once(_centre, _itself))

    def refined(data: FewShotData, ways: int) -> Learner:
        return _mapped(data, data.classes.x.shape[1], _itself, ways)

    return FeatureSet(lambda data: sentences(data, folder), net, refined, _itself)


def _mapped(data: FewShotData, width: int, read: Callable, ways: int) -> Learner:
    start = STARTS.get(data.classes.name, OTHER)
    net = Mapped(width, start.rank, centre=data.once(_centre, read))
    return refined_protonet(net, cross_entropy, ways=ways, sharpness=start.sharpness, balance=start.balance)


def _itself(x: Array) -> Array:
    return x


def _centre(data: FewShotData, read: Callable) -> Callable:
    """An initialiser: the mean of the training classes' features."""
    mean = np.asarray(mean_features(read, data.classes))  # training destroys the buffers of the parameters it is given
    return lambda key, shape: jnp.asarray(mean)
