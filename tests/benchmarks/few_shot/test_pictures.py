"""Few-shot classification of made pictures: learners train and beat chance, shapes share a training."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from metarec_jax.benchmarks import run
from metarec_jax.benchmarks.few_shot import FewShotData, Method, Protocol, Shape, images, pictures, training
from metarec_jax.benchmarks.few_shot.base import make_fold
from metarec_jax.benchmarks.few_shot.omniglot import unseen_runs
from metarec_jax.benchmarks.few_shot.published import PUBLISHED, beside
from metarec_jax.data.classes import Classes, join
from metarec_jax.learners.metric.protonet import protonet
from metarec_jax.models.conv4 import Conv4
from metarec_jax.objectives import cross_entropy
from metarec_jax.recipes.base import Recipe
from metarec_jax.report import few_shot
from metarec_jax.tasks.n_way import n_way
from metarec_jax.train import loop
from metarec_jax.train.config import Config
from metarec_jax.train.store import FolderStore, Store
from metarec_jax.types import Episode, Examples, TrainState

SIDE, DRAWERS = 28, 12
NAME = "protonet"


def made(classes: int, seed: int) -> Classes:
    """Pictures of random strokes, moved about a little: classes of `DRAWERS` each."""
    rng = np.random.default_rng(seed)
    strokes = rng.random((classes, 6, 6)) < 0.35
    pictures = np.zeros((classes * DRAWERS, SIDE, SIDE), np.uint8)
    for row in range(len(pictures)):
        top, left = rng.integers(0, 5, 2)
        pictures[row, top : top + 24, left : left + 24] = np.kron(strokes[row // DRAWERS], np.ones((4, 4), np.uint8))
    members = np.arange(classes)
    parts = {"train": members[: classes // 2], "valid": members[classes // 2 : -10], "test": members[-10:]}
    return Classes("made", pictures, np.arange(classes + 1) * DRAWERS, [f"{c}" for c in members], parts, "here")


def folds(benchmark, classes: Classes):
    return benchmark.folds(FewShotData(classes), 0, Store())


def steps_of(result) -> int:
    (row,) = result.content["rows"]
    return row["settings"]["steps"]


@pytest.mark.slow
def test_a_learner_trains_on_pictures_and_beats_chance(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "WIDTH", 8)
    monkeypatch.setattr(images, "Conv4", partial(Conv4, layers=2))  # half as much to compile
    classes, store = made(90, 0), FolderStore(tmp_path)

    def trained(shape: Shape, minutes: float | None = None):
        changes = {"rotations": False, "mirrored": True, "episodes": 20, "validation": 4}
        benchmark = pictures([shape], minutes=minutes, **changes)
        return run(benchmark, classes, [benchmark.recipes[NAME].configured(steps=60)], store=store, progress=False)

    first = trained(Shape(5, 1, 3))
    values = pl.read_parquet(tmp_path / "seed_0" / f"{NAME}_5_way_1_shot" / "values.parquet")
    assert values["accuracy"].mean() > 0.5 and steps_of(first) >= 60
    again = trained(Shape(5, 1, 3))  # from the files
    assert again.content["rows"] == first.content["rows"] and again.content["examples"] == first.content["examples"]
    for minutes in (None, 60.0):  # served by the same training, which goes no further
        assert steps_of(trained(Shape(4, 1, 3), minutes)) == steps_of(first)
        store.drop(f"seed_0/{NAME}_4_way_1_shot")


class Flat(nn.Module):
    """Four numbers of a picture."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(x.reshape(len(x), -1))


def test_of_pictures_the_last_parameters_count(monkeypatch):
    assert all(fold.protocol.keep_last for fold in folds(pictures(rotations=False), made(90, 0)))
    last, best = ({"w": np.float32(value)} for value in (1, 2))
    ended = loop.Run(TrainState(jnp.int32(5), last, ()), best, jnp.float32(-0.9), jnp.int32(3))
    monkeypatch.setattr(training, "proceed", lambda *arguments, **keywords: ended)
    recipe = Recipe(Method(lambda data, ways: protonet(Flat(), cross_entropy, ways=ways)), Config(steps=1), name="toy")
    for keep_last, expected in ((False, best), (True, last)):
        fold = make_fold(FewShotData(made(40, 0)), Protocol((), keep_last=keep_last), Shape(5, 1, 3), 0)
        assert training.train(recipe, fold, Store(), devices=1, progress=False).params == expected


def test_what_a_prediction_looks_at_is_said():
    published, own = pictures().recipes, pictures(statistics="own").recipes
    assert published["maml"].transductive and not published["protonet"].transductive
    assert published["refined mean"].transductive and not published["nearest mean"].transductive
    assert not own["maml"].transductive


def test_there_are_examples_enough_to_validate_every_learner():
    """Reptile is trained with ten of a class; of the twelve there are, two are left to tell apart, and not three."""
    benchmark, key = pictures(rotations=False), jax.random.key(0)
    fold = make_fold(FewShotData(made(90, 0)), Protocol((), validation_query=2), Shape(5, 1, 3), 0)
    for name in benchmark.learners():
        shape = benchmark.recipes[name].build.trained(fold.shape, fold.data)
        tasks = fold.episodes("valid", shape.shots).tasks
        episode = jax.eval_shape(tasks.sample, tasks.data, key)
        assert episode.support.y.shape == (5 * shape.shots,) and episode.query.y.shape == (5 * 2,)


def drawings(classes: Classes, chosen: list[np.ndarray]) -> Episode:
    """A run for each list of classes: their first drawings are known, and the second are to be told."""

    def examples(number: int) -> Examples:
        x = np.stack([classes.x[classes.offsets[members] + number] for members in chosen])
        y = np.tile(np.arange(len(chosen[0]), dtype=np.int32), (len(chosen), 1))
        return Examples(jnp.asarray(x, jnp.float32)[..., None], jnp.asarray(y), jnp.ones(y.shape))

    return Episode(examples(0), examples(1))


def test_official_runs_are_measured_where_none_of_their_drawings_is_trained_on():
    classes = made(90, 0)
    chosen = [classes.parts["train"][:5], classes.parts["test"][:5], classes.parts["test"][5:]]
    chosen[1][0] = classes.parts["train"][7]
    runs = unseen_runs(classes, drawings(classes, chosen))
    assert runs.support.x.shape[0] == 1
    np.testing.assert_array_equal(runs.query.x[0, ..., 0], classes.x[classes.offsets[chosen[2]] + 1])
    assert unseen_runs(classes, drawings(classes, chosen[:2])) is None

    data = FewShotData(classes, official=drawings(classes, [chosen[2], classes.parts["valid"][:5]]))
    shapes = [Shape(5, 1, 3), Shape(4, 1, 3)]  # only the first is theirs
    benchmark = pictures(shapes, rotations=False, episodes=6, validation=4)
    plain = benchmark.recipes["nearest neighbour"]._replace(grid=({},))
    content = run(benchmark, data, [plain], progress=False).content
    assert content["official"]["runs"] == 2
    (row,) = content["official"]["rows"]
    known, other = (np.asarray(part.x).reshape(2, 5, -1) for part in data.official)
    nearest = np.square(other[:, :, None] - known[:, None]).sum(-1).argmin(-1)
    assert row["accuracy"]["mean"] == pytest.approx((nearest == np.arange(5)).mean())
    assert [(row["ways"], row["shots"]) for row in content["rows"]] == [(5, 1), (4, 1)]
    assert "2 official one-shot runs" in few_shot.text_table(content)
    assert "2 official one-shot runs" in few_shot.html_page(content)


def test_published_figures_have_a_verdict_and_a_reason():
    def row(name: str, mean: float) -> dict:
        accuracy = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        return {
            "name": name,
            "ways": 5,
            "shots": 1,
            "accuracy": accuracy,
            "settings": {"steps": 1200},
            "seconds": 180.0,
        }

    published = {"maml": ("a paper", {(5, 1): 98.7}), "other": ("a paper", {(20, 1): 90.0})}
    reached, near, far = (beside([row("maml", mean)], published)[0] for mean in (0.98701, 0.98, 0.9))
    assert [figure["verdict"] for figure in (reached, near, far)] == ["reached", "not reached", "not reached"]
    assert reached["why"] == "" and "0.70 points below, within" in near["why"] and "outside" in far["why"]
    assert "1,200 steps in 3 minutes" in far["why"]
    assert beside([row("other", 0.9), row("unknown", 0.9)], published) == []


def test_every_published_figure_is_of_a_learner_there_is():
    assert set(PUBLISHED["omniglot"]) <= set(pictures().learners())


def test_joined_sets_train_on_one_and_test_on_the_other():
    first, second = made(40, 0), made(20, 1)
    both = join(first, second, {"train": ("train", "test"), "valid": ("valid",)})
    assert set(both.parts["train"]) == {*first.parts["train"], *first.parts["test"]}
    tested = both.parts["test"][0]
    row = both.offsets[tested]
    np.testing.assert_array_equal(both.x[row], second.x[second.offsets[second.parts["test"][0]]])
    assert both.class_names[tested] == second.class_names[second.parts["test"][0]]


@pytest.mark.parametrize("statistics", ["published", "own"])
def test_every_learner_has_a_loss_on_the_episodes_it_is_trained_on(statistics):
    """By shapes alone: no numbers are computed."""
    data, key = FewShotData(made(90, 0)), jax.random.key(0)
    for name, recipe in images.recipes(statistics).items():
        shape = recipe.build.trained(Shape(5, 1, 3), data)
        tasks = n_way(data.classes, "train", **shape._asdict())
        learner, episode = recipe.build(data, shape.ways).method, jax.eval_shape(tasks.sample, tasks.data, key)
        assert learner.output == recipe.output == "class"
        params = jax.eval_shape(learner.init, key, episode)
        if recipe.build.prepare is not None:
            continue  # its parameters also hold statistics, which are numbers
        loss = jax.eval_shape(lambda params, task, own=learner: own.loss(params, task, key)[0], params, episode)
        assert loss.shape == (), name
