"""The trials of methods, on values that are known in closed form; and the spaces of all methods."""

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import optuna
import pytest
from tqdm import tqdm

from metarec_jax.eval.grid_search import fit_defaults
from metarec_jax.eval.predict import PredictionError
from metarec_jax.recipes import RECIPES
from metarec_jax.recipes.base import hyperparameters
from metarec_jax.recipes.space import Between, OneOf, contains
from metarec_jax.search import study as search
from metarec_jax.search.storage import GRACE, open_storage
from metarec_jax.search.study import Method

SPACE = {"x": Between(1e-3, 1.0), "n": Between(1, 9, log=False), "kind": OneOf(("bad", "good"))}
STARTS = [{"x": 0.0, "n": 1, "kind": "bad"}, {"x": 1.0, "n": 9, "kind": "good"}]  # 0 is outside the log scale


def value(settings) -> dict[str, float]:
    """At K = 0 the best is x = 0.1, at K = 5 it is x = 0.5; n = 4 and "good" are best everywhere."""
    shared = (settings["n"] - 4) ** 2 / 10 + (settings["kind"] == "bad")
    return {k: abs(settings["x"] - best) + shared for k, best in (("0", 0.1), ("5", 0.5))}


def method(evaluate=value, metric="rmse", name="toy") -> Method:
    return Method(name, metric, SPACE, STARTS, {}, lambda: evaluate)


def work(path, methods, trials=18, identity="data", grace=GRACE):
    """A worker's entries; it has a connection of its own."""
    with tqdm(disable=True) as bar:
        storage = open_storage(str(path), 1, grace)
        return search.search(methods, storage, identity, trials, 0, bar, pause=0.1)


def found(path, rule=None, trials=18, identity="data", grace=GRACE):
    return work(path, [rule or method()], trials, identity, grace)["toy"]


def states(path) -> Counter:
    storage = open_storage(str(path))
    studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    return Counter(trial.state.name for study in studies for trial in study.trials)


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


NAMES = ["a", "b", "c", "d"]


def slow(calls, name):
    """A method that takes a moment, and tells who evaluates what."""

    def evaluate(settings):
        time.sleep(0.02)
        calls.append((name, tuple(settings.items()), threading.get_ident()))
        return value(settings)

    return method(evaluate, name=name)


def test_any_number_of_workers_find_what_one_finds_and_do_nothing_twice(tmp_path):
    alone, shared = [], []
    expected = work(tmp_path / "one", [slow(alone, name) for name in NAMES], trials=8)
    start = threading.Barrier(4)

    def worker(_):
        start.wait()  # the tables are made by all of them at once, too
        return work(tmp_path / "many", [slow(shared, name) for name in NAMES], trials=8)

    with ThreadPoolExecutor(4) as pool:
        for entries in pool.map(worker, range(4)):
            assert entries == expected and list(entries) == NAMES
    assert sorted(call[:2] for call in shared) == sorted(call[:2] for call in alone)
    for name in NAMES:  # one after another, in the same order
        assert [call[1] for call in shared if call[0] == name] == [call[1] for call in alone if call[0] == name]
    assert len({call[2] for call in shared}) > 1
    counts = states(tmp_path / "many")
    assert counts["COMPLETE"] == 8 * len(NAMES) and counts["RUNNING"] == counts["WAITING"] == 0


def test_one_that_asked_later_or_for_a_trial_that_is_done_loses(tmp_path):
    """The races between two workers that both saw a method free."""
    first, second = (search._Study(method(), open_storage(str(tmp_path / "trials")), "data", 3, 0) for _ in range(2))
    claims = []

    def overtaken(settings):
        assert not first.is_free()
        second.run_trial(search._Hands(lambda: None), tqdm(disable=True))
        claims.append(len(second.finished()))
        return value(settings)

    first.method = method(overtaken)
    first.run_trial(search._Hands(lambda: None), tqdm(disable=True))
    assert claims == [0] and states(tmp_path / "trials") == {"COMPLETE": 1, "FAIL": 1}
    second._finished = []  # it counted before the first was done
    second.run_trial(search._Hands(lambda: None), tqdm(disable=True))
    assert states(tmp_path / "trials") == {"COMPLETE": 1, "FAIL": 2}


@pytest.mark.parametrize("when", ["in a trial", "before its first sign of life"])
def test_the_method_of_a_dead_worker_is_taken_over(whole, tmp_path, monkeypatch, when):
    counter = itertools.count(1)

    def killed(*arguments):
        if when != "in a trial" or next(counter) == 3:
            raise SystemExit  # which Optuna leaves alone: the trial is still said to be running
        return value(*arguments)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        if when != "in a trial":
            patch.setattr(optuna.study._optimize, "get_heartbeat_thread", killed)
        found(tmp_path / "trials", method(killed))
    assert states(tmp_path / "trials")["RUNNING"] == 1
    assert found(tmp_path / "trials", grace=1) == whole
    assert states(tmp_path / "trials") == {"COMPLETE": 18, "FAIL": 1}


def test_the_method_of_a_live_worker_is_left_alone(tmp_path):
    busy, calls = threading.Event(), []

    def long(settings):
        calls.append(threading.get_ident())
        if not busy.is_set():
            busy.set()
            time.sleep(5)  # longer than the grace period
        return value(settings)

    def worker():
        return work(tmp_path / "trials", [method(long, name="long"), slow([], "other")], trials=3, grace=3)

    with ThreadPoolExecutor(2) as pool:
        owner = pool.submit(worker)
        assert busy.wait(60)
        began = time.monotonic()
        other = work(tmp_path / "trials", [method(long, name="long"), slow(seen := [], "other")], trials=2, grace=3)
        assert time.monotonic() - began > 2 and other["long"]["trials"] == 2
        assert len(seen) == 2 and threading.get_ident() not in calls[:2]
        assert owner.result()["long"]["trials"] == 3
    assert len(calls) == 3


@pytest.mark.parametrize("last", ["settings", "values"])
def test_a_worker_that_only_seemed_dead_loses_the_trial_and_goes_on(whole, tmp_path, monkeypatch, last):
    """Others end its trial while it is evaluated, or when its values are there already but not yet its end."""
    set_user_attr = optuna.Trial.set_user_attr

    def ended(trial, key, content):
        set_user_attr(trial, key, content)
        if key == last and trial.number == 2:
            trial.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    monkeypatch.setattr(optuna.Trial, "set_user_attr", ended)
    assert found(tmp_path / "trials") == whole
    assert states(tmp_path / "trials") == {"COMPLETE": 18, "FAIL": 1}


def test_a_broken_program_ends_the_worker(tmp_path):
    with pytest.raises(ValueError, match="bug"):
        found(tmp_path / "trials", method(lambda settings: exec("raise ValueError('bug')")))
    with pytest.raises(KeyError, match="build"):
        found(tmp_path / "trials", method()._replace(build=lambda: {}["build"]))


def test_a_worker_has_one_method_at_hand(tmp_path):
    events = []

    def logged(name) -> Method:
        return method(name=name)._replace(build=lambda: events.append(name) or value)

    with tqdm(disable=True) as bar:
        storage = open_storage(str(tmp_path / "trials"))
        search.search([logged("a"), logged("b")], storage, "", 2, 0, bar, turn=lambda: events.append("turn"))
    assert events == ["turn", "a", "turn", "b"]


def test_a_url_is_the_same_as_its_file(whole, tmp_path):
    assert found(tmp_path / "new" / "trials", trials=9)["trials"] == 9
    assert found(f"sqlite:///{tmp_path / 'new' / 'trials'}") == whole
    assert states(tmp_path / "new" / "trials") == {"COMPLETE": 18}
    assert found(f"sqlite:///{tmp_path / 'newer' / 'trials'}", trials=1)["trials"] == 1


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
    for name, recipe in RECIPES.items():
        if recipe.training is None:
            settings = fit_defaults(recipe.baseline)
        else:
            own, outer = hyperparameters(recipe)
            settings = own | vars(outer)
        for key, where in recipe.space.items():
            assert key in settings, f"{name} has no {key!r}"
            assert contains(where, settings[key]) or (isinstance(where, Between) and settings[key] == 0), (name, key)
            assert not (isinstance(where, Between) and where.log and where.low <= 0), (name, key)
