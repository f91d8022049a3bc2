"""The learners and baselines of few-shot classification of small pictures, as their papers train them on Omniglot."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax.numpy as jnp
import numpy as np
import optax

from metarec_jax.benchmarks.base import Benchmark
from metarec_jax.benchmarks.few_shot.base import FewShotData, Method, Protocol, Shape
from metarec_jax.benchmarks.few_shot.baselines import on_features
from metarec_jax.benchmarks.few_shot.benchmark import few_shot
from metarec_jax.data.classes import Classes
from metarec_jax.learners.closed_form.r2d2 import r2d2
from metarec_jax.learners.gradient.anil import anil
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.learners.gradient.meta_sgd import meta_sgd
from metarec_jax.learners.gradient.proto_maml import proto_maml
from metarec_jax.learners.gradient.reptile import reptile
from metarec_jax.learners.metric.matching import matching
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.learners.metric.relation import Comparator, relation
from metarec_jax.learners.wrappers.normalised import TRANSDUCTIVE, Mode, normalised, population
from metarec_jax.learners.wrappers.tied_head import tied_head
from metarec_jax.models.conv4 import Classifier, Conv4
from metarec_jax.objectives import cross_entropy, one_hot_squared_error
from metarec_jax.recipes.base import Recipe, named
from metarec_jax.tasks.augment import jittered
from metarec_jax.train.config import Config
from metarec_jax.types import Array, Learner, Params

Statistics = Literal["published", "own"]
POPULATION = 2000  # training images that statistics are of
WIDTH = 64  # filters of every layer


def pixels(x: Array) -> Array:
    """Pictures [N, H, W, 1] as vectors."""
    return x.reshape(len(x), -1)


def pictures(
    shapes: Sequence[Shape] = (Shape(5, 1, 15), Shape(5, 5, 15)),
    *,
    statistics: Statistics = "published",
    rotations: bool = True,
    mirrored: bool = False,
    jitter: bool = False,
    episodes: int = 600,
    validation: int = 100,
    minutes: float | None = None,
) -> Benchmark:
    """New classes of pictures, from K of each; the data are `Classes` of uint8 [N, 28, 28], 1 where there is ink.

    The last parameters count: by then the learning rate has fallen to 0, while a hundred validation episodes near 99%
    tell little, and would choose by chance among parameters from before it fell.

    Args:
      shapes: of the test episodes.
      statistics: those that batch normalisation uses. "published": as in each method's paper, where all of the gradient
        family look at the queries that are asked together; "own": nobody does.
      rotations: quarter turns are classes of their own.
      mirrored: mirror images are classes of their own too, in training.
      jitter: every picture of training is drawn a little otherwise.
      episodes, validation: test and validation episodes.
      minutes: of training of each learner, instead of its steps.
    """
    protocol = Protocol(
        tuple(shapes),
        episodes,
        validation,
        rotations=rotations,
        mirrored=mirrored,
        augment=jittered if jitter else None,
        keep_last=True,
        minutes=minutes,
    )
    methods = on_features(pixels) | recipes(statistics)
    title = "Few-shot classification of Omniglot"
    return few_shot("omniglot", title, protocol, methods, ("protonet", "maml"), _as_data)


def _as_data(data: Classes | FewShotData) -> FewShotData:
    return data if isinstance(data, FewShotData) else FewShotData(data)


def recipes(statistics: Statistics) -> dict[str, Recipe]:
    """Name -> the learner and how it is trained."""
    inner: Mode = "batch" if statistics == "published" else "support"
    moved = partial(adapting, statistics=inner, training=Config(outer_lr=1e-3, batch=32, steps=20_000))
    tied = partial(adapting, statistics=inner, training=Config(outer_lr=2e-3, batch=4, steps=20_000))
    learners = {
        "protonet": comparing(lambda ways: protonet(Conv4(WIDTH), cross_entropy, ways=ways, turns=True)),
        "matching": comparing(lambda ways: matching(Conv4(WIDTH), cross_entropy, ways=ways, turns=True)),
        "relation": comparing(
            lambda ways: relation(Conv4(WIDTH), Comparator((64,)), one_hot_squared_error, ways=ways, turns=True),
            note="The relation module compares vectors of 64 numbers, not maps of 5 x 5 as in the paper.",
        ),
        "r2d2": comparing(lambda ways: r2d2(Conv4(WIDTH), cross_entropy, ways=ways, turns=True)),
        "maml": moved(
            lambda ways: maml(strided(ways), cross_entropy, lr=0.4),
            note="One inner step of 0.4 in training and test, from a head of zeros; 20,000 steps of 32 tasks. The "
            "paper has three in the test, for 20 ways five of 0.1 and 16 tasks, and 60,000 steps.",
        ),
        "maml, tied head": tied(
            # A class has as much of the mean over the support as there are ways, so the inner rate grows with them.
            lambda ways: tied_head(maml(strided(ways), cross_entropy, lr=0.08 * ways), ways),
            trained=more_ways,
            note="Trained on 20 ways; every class starts at the same column of the head (Ye and Chao 2021).",
        ),
        "proto_maml": tied(
            lambda ways: proto_maml(Conv4(WIDTH, strided=True), cross_entropy, ways=ways, lr=0.01 * ways),
            trained=more_ways,
            note="Trained on 20 ways; the head starts at the prototypes (Triantafillou et al. 2020).",
        ),
        "fomaml": moved(lambda ways: maml(strided(ways), cross_entropy, lr=0.4, first_order=True)),
        "anil": moved(lambda ways: anil(strided(ways), cross_entropy, lr=0.4, steps=5)),
        "meta_sgd": moved(lambda ways: meta_sgd(strided(ways), cross_entropy, lr=0.1)),
        "reptile": moved(
            lambda ways: reptile(strided(ways), cross_entropy, lr=1e-3, steps=5, optimiser=partial(optax.adam, b1=0.0)),
            trained=lambda test, data: Shape(test.ways, 10, 1),
            training=Config(outer_lr=1e-3, batch=5, steps=20_000),  # tasks and inner optimiser of the paper
            learnt_with="batch",  # its inner loop sees support and query as one
            note="Trained with ten examples of each class, as in the paper.",
        ),
    }
    return named(learners)


def statistics_of(data: FewShotData) -> Callable[[Params], Params]:
    """Parameters -> the same with batch statistics of the training images."""
    return population(Conv4(WIDTH), jnp.asarray(training_images(data.classes)))


def training_images(classes: Classes) -> np.ndarray:
    """[N, 28, 28, 1] float32, the same number of each training class as far as they go, N about `POPULATION`."""
    members = classes.parts["train"]
    each = max(1, POPULATION // len(members))
    rows = np.concatenate([classes.offsets[members] + number for number in range(each)])
    return classes.x[rows].astype(np.float32)[..., None]


def many_ways(test: Shape, data: FewShotData) -> Shape:
    """More ways than in the test: a harder question, and more to compare with for the same pictures."""
    del data
    return Shape(max(40, test.ways), test.shots, 2)


def few_queries(test: Shape, data: FewShotData) -> Shape:
    """The ways of the test, whose head they are, and fewer to tell apart."""
    del data
    return test._replace(query=3)


def more_ways(test: Shape, data: FewShotData) -> Shape:
    """Where the head does not know how many there are: as `many_ways`, fewer for the price of an inner loop."""
    del data
    return Shape(max(20, test.ways), test.shots, 2)


def comparing(build: Callable[[int], Learner], note: str = "") -> Recipe:
    """A learner that compares embeddings: trained with more ways than it is tested with, as Snell et al. advise, and
    normalised by statistics of the training images."""

    def learner(data: FewShotData, ways: int) -> Learner:
        del data
        return normalised(build(ways), "population")

    method = Method(learner, many_ways, length=100, note=note, prepare=statistics_of)
    return Recipe(method, Config(outer_lr=5e-3, batch=1, steps=20_000), output="class")


def strided(ways: int) -> Classifier:
    """The strided network of the MAML paper."""
    return Classifier(Conv4(WIDTH, strided=True), ways)


def adapting(
    build: Callable[[int], Learner],
    statistics: Mode,
    training: Config,
    trained: Callable[[Shape, FewShotData], Shape] = few_queries,
    note: str = "",
    learnt_with: Mode | None = None,
) -> Recipe:
    """A learner that takes gradient steps, in training with the statistics `learnt_with`, where these are others."""

    def learner(data: FewShotData, ways: int) -> Learner:
        del data
        return normalised(build(ways), statistics, training=learnt_with)

    method = Method(learner, trained, note=note, singly=True)
    return Recipe(method, training, output="class", transductive=TRANSDUCTIVE[statistics])
