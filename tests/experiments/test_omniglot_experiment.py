"""The Omniglot experiment on made pictures: every learner trains and beats chance, figures beside published ones."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import few_shot_images
from experiments.common.few_shot import Shape, make_setting
from experiments.common.few_shot_published import beside
from experiments.common.few_shot_training import Budget, run_learner, validation_of
from experiments.common.jobs import Job, train
from experiments.common.workdir import Log
from metarec_jax.data.classes import Classes, join
from metarec_jax.models.conv4 import Conv4
from metarec_jax.tasks.n_way import n_way
from metarec_jax.train import loop
from metarec_jax.types import TrainState

SIDE, DRAWERS = 28, 12


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


def test_a_learner_trains_on_pictures_and_beats_chance(tmp_path, monkeypatch):
    name = "protonet"
    monkeypatch.setattr(few_shot_images, "WIDTH", 8)
    monkeypatch.setattr(few_shot_images, "Conv4", partial(Conv4, layers=2))  # half as much to compile
    changes = {"rotations": False, "mirrored": True}
    world = few_shot_images.world(made(90, 0), "published", **changes)._replace(validation=4)
    setting = make_setting(world, Shape(5, 1, 3), 0, 20)
    train = partial(run_learner, name, world, setting, Budget(60, None), tmp_path, Log(tmp_path / "log.jsonl"))
    found = train()
    assert found.accuracy.mean() > 0.5 and found.settings["steps"] >= 60
    again = train()  # from the file
    np.testing.assert_array_equal(found.accuracy, again.accuracy)
    more = make_setting(world, Shape(4, 1, 3), 0, 20)  # served by the same training, which goes no further
    for budget in (Budget(60, None), Budget(None, 60.0)):
        other = run_learner(name, world, more, budget, tmp_path, Log(tmp_path / "log.jsonl"))
        assert other.settings["steps"] == found.settings["steps"]
        (tmp_path / f"{name}_4_way_1_shot.json").unlink()
    assert json.loads((tmp_path / f"{name}_5_way_1_shot.json").read_text())["settings"] == again.settings


def test_of_pictures_the_last_parameters_count(tmp_path):
    assert few_shot_images.world(made(40, 0), "published").last
    last, best = ({"w": np.float32(value)} for value in (1, 2))
    run = loop.Run(TrainState(jnp.int32(5), last, ()), best, jnp.float32(-0.9), jnp.int32(3))
    job = Job(run, 5, lambda start, on_chunk: start, "accuracy")
    for counts, expected in ((False, best), (True, last)):
        assert train("toy", job._replace(last=counts), 0, tmp_path, Log(tmp_path / "log.jsonl")) == expected


def test_what_a_prediction_looks_at_is_said():
    methods = few_shot_images.methods(made(40, 0), "published")
    assert methods["maml"].transductive and not methods["protonet"].transductive
    assert not few_shot_images.methods(made(40, 0), "own")["maml"].transductive


def test_there_are_examples_enough_to_validate_every_learner():
    """Reptile is trained with ten of a class; of the twelve there are, two are left to tell apart, and not three."""
    world = few_shot_images.world(made(90, 0), "published", rotations=False)._replace(validation_query=2)
    setting = make_setting(world, Shape(5, 1, 3), 0, 20)
    for method in world.methods.values():
        shape = method.trained(setting.shape)
        watched = validation_of(shape, world, setting)
        assert watched.shape.shots == shape.shots and watched.shape.ways == 5


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
    assert [found["verdict"] for found in (reached, near, far)] == ["reached", "not reached", "not reached"]
    assert reached["why"] == "" and "0.70 points below, within" in near["why"] and "outside" in far["why"]
    assert "1,200 steps in 3 minutes" in far["why"]
    assert beside([row("other", 0.9), row("unknown", 0.9)], published) == []


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
    classes, key = made(90, 0), jax.random.key(0)
    for name, method in few_shot_images.methods(classes, statistics).items():
        shape = method.trained(Shape(5, 1, 3))
        tasks = n_way(classes, "train", **shape._asdict())
        learner, episode = method.build(shape.ways), jax.eval_shape(tasks.sample, tasks.data, key)
        params = jax.eval_shape(learner.init, key, episode)
        if method.prepare is not None:
            continue  # its parameters also hold statistics, which are numbers
        loss = jax.eval_shape(lambda params, task, own=learner: own.loss(params, task, key)[0], params, episode)
        assert loss.shape == (), name
