"""Tuning as people meet it: equal budgets, kills, the file it writes, and what --tuned makes of that file."""

import json
import logging
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest
from helpers import call, write_ratings

from experiments import tune, user_cold_start
from experiments.main import protocol
from experiments.measure import Plan, make_plan
from metarec_jax.benchmarks import user_cold_start as cold_users
from metarec_jax.data.io.ratings_file import read_ratings
from metarec_jax.recipes import RECIPES
from metarec_jax.recipes.base import classical, hyperparameters
from metarec_jax.recipes.metric import build_protonet_levels
from metarec_jax.recipes.space import Between
from metarec_jax.report import results
from metarec_jax.search import study as search
from metarec_jax.search.tuned import read_tuned
from metarec_jax.tasks.splits import split_users

TRIALS, STEPS = 3, 20


NAMES = ["user_mean", "popularity", "protonet_levels"]  # a rating, a score, a learner


TASKS = ["--shots=0,4", "--query=3"]


SPACE = {"outer_lr": Between(3e-3, 3e-2), "prior_count": Between(0.5, 20.0)}


@pytest.fixture(scope="module", autouse=True)
def small():
    """A small network, and a grid that leaves a trial to the sampler."""
    build = partial(build_protonet_levels, id_dim=4, width=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "protonet_levels", RECIPES["protonet_levels"]._replace(build=build, space=SPACE))
        patch.setitem(RECIPES, "user_mean", RECIPES["user_mean"]._replace(grid=({"shrink": 2.0},)))
        yield


def refused(program, *arguments) -> str:
    with pytest.raises(SystemExit, match="^error: ") as end:
        call(program, *arguments)
    assert "\n" not in end.value.code
    return end.value.code


def count_evaluations(monkeypatch, stop_at: int = 0) -> list[str]:
    """The names of the methods in the order of evaluations from here on; a Ctrl-C in the one numbered `stop_at`."""
    calls, take = [], search._Hands.take

    def counted(hands, method):
        def evaluate(settings):
            calls.append(method.name)
            if len(calls) == stop_at:
                raise KeyboardInterrupt
            return taken(settings)

        taken = take(hands, method)
        return evaluate

    monkeypatch.setattr(search._Hands, "take", counted)
    return calls


@pytest.fixture(scope="module")
def ratings(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ratings") / "mine.csv"
    write_ratings(path)
    return path


def tuning(ratings: Path, names: list[str] = NAMES) -> list[str]:
    arguments = [f"--ratings={ratings}", f"--methods={','.join(names)}", f"--trials={TRIALS}", *TASKS]
    return arguments + ([f"--steps={STEPS}"] if "protonet_levels" in names else [])


@pytest.fixture(scope="module")
def finished(ratings, tmp_path_factory) -> Path:
    """The work directory of a tuning that was interrupted in a baseline's third trial and in a learner's second."""
    folder = tmp_path_factory.mktemp("tuned") / "work"
    runs = []
    for stop_at in (3, 5, 0):
        with pytest.MonkeyPatch.context() as patch:
            runs.append(count_evaluations(patch, stop_at))
            try:
                call(tune, *tuning(ratings), f"--workdir={folder}")
            except KeyboardInterrupt:
                assert stop_at and not (folder / "tuned.json").exists()
    # Popularity has two settings only: its third trial is free.
    assert runs[0] == ["user_mean"] * 3
    assert runs[1] == ["user_mean", "popularity", "popularity", "protonet_levels", "protonet_levels"]
    assert runs[2] == ["protonet_levels"] * 2
    return folder


def content(folder: Path) -> dict:
    return json.loads((folder / "tuned.json").read_text())


def states(folder: Path) -> list[str]:
    url = f"sqlite:///{folder / 'trials.sqlite'}"
    studies = [optuna.load_study(study_name=name, storage=url) for name in optuna.get_all_study_names(url)]
    return sorted(trial.state.name for study in studies for trial in study.trials)


def test_every_method_has_the_same_number_of_trials_and_starts_from_its_defaults(finished):
    found = content(finished)
    assert list(found["methods"]) == sorted(NAMES)
    for name, method in found["methods"].items():
        assert method["trials"] == found["trials"] == TRIALS and method["diverged"] == 0
        sign = -1 if name == "popularity" else 1
        assert method["metric"] == ("ndcg@5" if name == "popularity" else "rmse")
        assert set(method["tuned"]) == set(method["default"]) == ({"mean"} if name == "protonet_levels" else {"0", "4"})
        for k, entry in method["tuned"].items():
            assert sign * entry["value"] <= sign * method["default"][k]
            space = RECIPES[name].space
            assert set(entry["settings"]) == set(space)
    assert states(finished) == ["COMPLETE"] * TRIALS * len(NAMES) + ["FAIL"] * 2
    assert found["methods"]["user_mean"]["tuned"]["4"]["settings"] != {"shrink": 0.0}  # which overfits 4 ratings


def test_interruptions_change_nothing(finished, ratings, tmp_path):
    call(tune, *tuning(ratings, NAMES[:2]), f"--workdir={tmp_path / 'work'}")
    assert states(tmp_path / "work") == ["COMPLETE"] * TRIALS * 2
    for name, method in content(tmp_path / "work")["methods"].items():
        assert method == content(finished)["methods"][name]


def test_a_second_run_does_nothing_and_more_trials_go_on_from_those_done(finished, ratings, tmp_path, monkeypatch):
    calls = count_evaluations(monkeypatch)
    before = (finished / "tuned.json").read_bytes()
    call(tune, *tuning(ratings), f"--workdir={finished}")
    assert calls == [] and (finished / "tuned.json").read_bytes() == before
    names, storage = ["user_mean"], [f"--storage={tmp_path / 'trials.sqlite'}"]
    call(tune, *tuning(ratings, names), *storage, f"--workdir={tmp_path / 'a'}")
    call(tune, *tuning(ratings, names), *storage, "--trials=5", f"--workdir={tmp_path / 'b'}")
    assert calls == ["user_mean"] * 5
    call(tune, *tuning(ratings, names), *storage, "--seed=1", f"--workdir={tmp_path / 'c'}")
    assert len(calls) == 5 + TRIALS  # another split: nothing that is known counts


@pytest.mark.parametrize("part", ["test", "valid"])
def test_the_ratings_of_test_users_change_nothing(finished, ratings, tmp_path, part):
    table = read_ratings(ratings)
    users = getattr(split_users(table, seed=0, query=3), part).users
    ids = {str(table.user_ids[user]) for user in users}
    head, *lines = ratings.read_text().splitlines()
    altered = []
    for line in lines:
        user, item, stars, *rest = line.rsplit(",", 4)
        stars = str(6 - int(stars)) if user.strip('"') in ids else stars
        altered.append(",".join([user, item, stars, *rest]))
    assert altered != lines
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([head, *altered]) + "\n")
    names = NAMES if part == "test" else NAMES[:2]
    call(tune, *tuning(path, names), "--trials=1", f"--workdir={tmp_path / 'work'}")
    before, after = (content(folder)["methods"] for folder in (finished, tmp_path / "work"))
    for name in names:
        assert (after[name]["default"] == before[name]["default"]) == (part == "test")


def test_a_method_that_always_diverges_is_shown_and_keeps_its_defaults(ratings, tmp_path, monkeypatch, capsys):
    def singular(train, *, shrink: float = 5.0):
        raise np.linalg.LinAlgError("singular")

    found = RECIPES["item_mean"]
    broken = classical(found.baseline._replace(fit=singular), found.grid, found.space)._replace(name="item_mean")
    monkeypatch.setitem(RECIPES, "item_mean", broken)
    call(tune, *tuning(ratings, ["item_mean"]), f"--workdir={tmp_path / 'work'}")
    found = content(tmp_path / "work")["methods"]["item_mean"]
    assert found["diverged"] == found["trials"] == TRIALS and found["tuned"] == {}
    assert "diverged in every trial" in capsys.readouterr().out
    assert read_tuned(tmp_path / "work" / "tuned.json", "user_cold_start", RECIPES).grids == {}


def main_job(ratings: Path, folder: Path, *arguments) -> dict[tuple, dict]:
    """(name, K) -> settings, after a run of the main job."""
    call(user_cold_start, f"--ratings={ratings}", *TASKS, *arguments, f"--workdir={folder}")
    return {(row["name"], row["shots"]): row["settings"] for row in results.read_json(folder / "results.json")["rows"]}


def test_the_main_job_runs_with_tuned_settings_and_finds_their_validation_value(
    finished, ratings, tmp_path, caplog, capsys
):
    tuned = content(finished)["methods"]
    methods = ["--learners=protonet_levels", "--baselines=user_mean,popularity,constant"]
    file = f"--tuned={finished / 'tuned.json'}"
    with caplog.at_level(logging.INFO, logger="absl"):
        found = main_job(ratings, tmp_path / "work", *methods, file, f"--steps={STEPS}")
    assert "does not name constant: default settings" in caplog.text
    assert "was tuned on one split" not in capsys.readouterr().out
    best = tuned["protonet_levels"]["tuned"]["mean"]
    for k in (0, 4):
        assert found["user_mean", k] == tuned["user_mean"]["tuned"][str(k)]["settings"]
        assert found["popularity", k] == tuned["popularity"]["tuned"][str(k)]["settings"]
        assert found["protonet_levels", k] | best["settings"] == found["protonet_levels", k]
    curve = results.read_json(tmp_path / "work" / "results.json")["curves"]["protonet_levels"]
    assert best["value"] == pytest.approx(min(point["valid_rmse"] for point in curve), abs=1e-6)
    main_job(ratings, tmp_path / "other", "--learners=none", "--baselines=user_mean", file, "--seed=1")
    assert (
        "was tuned on one split, that of seed 0. Its validation users may be test users of seed 1, "
        in capsys.readouterr().out
    )


def plan(*arguments) -> Plan:
    options = user_cold_start.main.options(["program.py", *arguments])
    return make_plan(options, cold_users(**protocol(options)))


def test_the_command_line_overrides_the_file(finished, ratings):
    tuned = content(finished)["methods"]["protonet_levels"]["tuned"]["mean"]["settings"]
    arguments = [f"--ratings={ratings}", f"--tuned={finished / 'tuned.json'}", "--learners=protonet_levels,maml"]
    planned = plan(*arguments, "--steps=7", "--set=protonet_levels.prior_count=3")
    found = {recipe.name: recipe for recipe in planned.recipes}
    own, outer = hyperparameters(found["protonet_levels"])
    assert (own["prior_count"], outer.steps, outer.outer_lr) == (3.0, 7, tuned["outer_lr"])
    assert dict(found["maml"].changes) == {"steps": 7}  # which the file does not name
    found = {recipe.name: recipe for recipe in plan(*arguments).recipes}
    assert dict(found["protonet_levels"].changes) == tuned | {"steps": STEPS}  # as in its trials
    assert dict(found["maml"].changes) == {}


def test_another_file_is_another_run(finished, ratings, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes((finished / "tuned.json").read_bytes())
    arguments = ["--learners=none", "--baselines=user_mean", f"--tuned={path}"]
    main_job(ratings, tmp_path / "work", *arguments)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
    message = refused(user_cold_start, f"--ratings={ratings}", *TASKS, *arguments, f"--workdir={tmp_path / 'work'}")
    assert "other content of the files that it read (--tuned: mine.json); choose another --workdir" in message


GOOD = {"schema": 1, "question": "user_cold_start", "dataset": {"name": "x"}, "split": "", "seed": 0, "methods": {}}


BROKEN = {
    "no json": ("{", ["is damaged", "tune.py"]),
    "a list": ([], ["is damaged"]),
    "another schema": (GOOD | {"schema": 2}, ["schema is 2, expected 1"]),
    "no methods": ({key: GOOD[key] for key in GOOD if key != "methods"}, ["'methods' is missing"]),
    "another question": (GOOD | {"question": "item_cold_start"}, ["for item_cold_start, not for user_cold_start"]),
    "method": ({"mamml": {}}, ["unknown method 'mamml'", "maml"]),
    "key of a learner": ({"ridge": {"inner_lr": 1.0}}, ["ridge has no 'inner_lr'", "rank"]),
    "value of a learner": ({"ridge": {"rank": "many"}}, ["ridge.rank='many'", "int"]),
    "value out of bounds": ({"ridge": {"outer_lr": -1.0}}, ["ridge.outer_lr=-1.0", "0 or above"]),
    "key of a baseline": ({"bias": {"lr": 1.0}}, ["bias has no 'lr'", "reg_user"]),
    "type of a baseline": ({"gp": {"rank": 3.5}}, ["gp.rank=3.5", "int"]),
    "steps": (
        GOOD | {"steps": "many", "methods": {"ridge": {"tuned": {"mean": {"settings": {}}}}}},
        ["ridge.steps='many'"],
    ),
    "bool as a number": ({"bias": {"reg_user": True}}, ["bias.reg_user=True", "float"]),
    "value of a baseline": ({"bias": {"reg_user": -3}}, ["bias.reg_user=-3", "0 or above"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_file_is_one_line_that_names_file_method_and_key(ratings, tmp_path, name):
    broken, words = BROKEN[name]
    if isinstance(broken, dict) and "schema" not in broken:
        methods = {method: {"tuned": {"mean": {"settings": settings}}} for method, settings in broken.items()}
        broken = GOOD | {"methods": methods}
    path = tmp_path / "broken.json"
    path.write_text(broken if isinstance(broken, str) else json.dumps(broken))
    message = refused(user_cold_start, f"--ratings={ratings}", f"--tuned={path}", f"--workdir={tmp_path / 'work'}")
    for word in ["--tuned", str(path), *words]:
        assert word in message, message
    assert not (tmp_path / "work").exists()


MISTAKES = {
    "method": (["--methods=mamml"], ["--methods", "'mamml'", "maml"]),
    "nothing": (["--methods=none"], ["nothing to tune"]),
    "no trials": (["--trials=0"], ["--trials=0", "in the range [1, "]),
    "steps of nobody": (["--methods=bias", "--steps=5"], ["--steps needs a method that is trained"]),
    "data set and ratings": (["--dataset=ml-1m"], ["--dataset is replaced by --ratings"]),
    "unknown flag": (["--trails=3"], ["'trails'"]),
    "storage of something else": (["--storage=notes.txt", "--methods=bias", "--shots=0"], ["notes.txt", "--storage"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_the_remedy(ratings, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("nothing to do with trials\n" * 100)
    arguments, words = MISTAKES[name]
    message = refused(tune, f"--ratings={ratings}", *arguments, "--query=3", "--workdir=work")
    for word in words:
        assert word in message, message
