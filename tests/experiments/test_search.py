"""The trials of one method, on a value that is known in closed form; and the spaces of all methods."""

import itertools

import numpy as np
import optuna
import pytest
from tqdm import tqdm

from experiments.common import search
from experiments.common.recipes import RECIPES
from experiments.common.recipes.base import hyperparameters
from experiments.common.search import Method
from metarec_jax.baselines import BASELINES
from metarec_jax.evaluation import PredictionError
from metarec_jax.spaces import Between, OneOf, contains
from metarec_jax.tuning import fit_defaults

SPACE = {"x": Between(1e-3, 1.0), "n": Between(1, 9, log=False), "kind": OneOf(("bad", "good"))}
STARTS = [{"x": 0.0, "n": 1, "kind": "bad"}, {"x": 1.0, "n": 9, "kind": "good"}]  # 0 is outside the log scale


def value(settings) -> dict[str, float]:
    """At K = 0 the best is x = 0.1, at K = 5 it is x = 0.5; n = 4 and "good" are best everywhere."""
    shared = (settings["n"] - 4) ** 2 / 10 + (settings["kind"] == "bad")
    return {k: abs(settings["x"] - best) + shared for k, best in (("0", 0.1), ("5", 0.5))}


def method(evaluate=value, metric="rmse") -> Method:
    return Method("toy", metric, SPACE, STARTS, {}, evaluate)


def found(path, rule=None, trials=18, identity="data"):
    with tqdm(disable=True) as bar:
        return search.search(rule or method(), search.open_storage(path), identity, trials, 0, bar)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return found(tmp_path_factory.mktemp("search") / "trials")


def test_the_defaults_are_the_first_trial_as_they_are_and_the_best_is_kept_for_every_k(whole):
    assert whole["trials"] == 18 and whole["diverged"] == 0
    assert whole["default"] == value(STARTS[0])
    for k, best in whole["tuned"].items():
        assert best["value"] == value(best["settings"])[k] < value(STARTS[1])[k]
        assert best["settings"]["kind"] == "good" and type(best["settings"]["n"]) is int
    assert whole["tuned"]["0"]["settings"]["x"] < whole["tuned"]["5"]["settings"]["x"]


def test_trials_that_were_interrupted_are_done_again_and_no_others(whole, tmp_path):
    counter = itertools.count(1)
    done = []

    def interrupted(settings):
        if next(counter) % 3 == 0:
            raise KeyboardInterrupt
        done.append(settings)
        return value(settings)

    interruptions = 0
    while True:
        try:
            assert found(tmp_path / "trials", method(interrupted)) == whole
            break
        except KeyboardInterrupt:
            interruptions += 1
    distinct = {tuple(settings.items()) for settings in done}
    assert interruptions > 5 and len(done) == len(distinct) <= 18


def test_a_kill_between_queueing_a_start_and_asking_for_it(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "ask", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            found(tmp_path / "trials")
    assert found(tmp_path / "trials") == whole


@pytest.mark.parametrize("how", ["training", "singular", "nan"])
def test_settings_that_diverge_are_counted_and_lose(tmp_path, how):
    def evaluate(settings):
        if settings["kind"] == "good":
            return value(settings)
        if how == "nan":
            return {"0": float("nan"), "5": 1e-9}
        raise PredictionError("is not finite") if how == "training" else np.linalg.LinAlgError("singular")

    entry = found(tmp_path / "trials", method(evaluate), trials=6)
    assert entry["trials"] == 6 and 0 < entry["diverged"] < 6
    assert entry["default"] == {"0": None, "5": None}
    assert all(best["settings"]["kind"] == "good" for best in entry["tuned"].values())


def test_a_score_is_the_better_the_higher(tmp_path):
    def evaluate(settings):
        return {k: -badness for k, badness in value(settings).items()}

    entry = found(tmp_path / "trials", method(evaluate, "ndcg@5"), trials=10)
    for k, best in entry["tuned"].items():
        assert best["value"] == evaluate(best["settings"])[k] > max(evaluate(start)[k] for start in STARTS)


def test_other_data_other_space_and_other_fixed_values_are_other_trials(tmp_path):
    calls = []

    def counted(settings):
        calls.append(settings)
        return value(settings)

    rule = method(counted)
    found(tmp_path / "trials", rule, trials=2)
    found(tmp_path / "trials", rule, trials=2)
    assert len(calls) == 2
    found(tmp_path / "trials", rule, trials=2, identity="other data")
    found(tmp_path / "trials", rule._replace(fixed={"steps": 9}), trials=2)
    found(tmp_path / "trials", rule._replace(space=SPACE | {"n": Between(1, 20)}), trials=2)
    assert len(calls) == 8


def test_every_default_stands_for_a_point_of_the_space():
    """A number may lie outside (a weight decay of 0 on a log scale: the nearest stands for it), a choice may not."""
    defaults = {name: (entry.space, fit_defaults(entry.baseline)) for name, entry in BASELINES.items()}
    for name, recipe in RECIPES.items():
        own, outer = hyperparameters(recipe, {}, name)
        defaults[name] = recipe.space, own | vars(outer)
    for name, (space, settings) in defaults.items():
        for key, where in space.items():
            assert key in settings, f"{name} has no {key!r}"
            assert contains(where, settings[key]) or (isinstance(where, Between) and settings[key] == 0), (name, key)
            assert not (isinstance(where, Between) and where.log and where.low <= 0), (name, key)
