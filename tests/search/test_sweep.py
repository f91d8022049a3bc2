"""N runs as one program: what is varied, and that every run is in the results."""

import json

import numpy as np
import pytest
from helpers import call, write_ratings

from experiments import many_runs
from metarec_jax.benchmarks import user_cold_start
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.recipes import RANKING_RECIPES, RECIPES
from metarec_jax.search.sweep import plan, sweep


def test_every_value_has_every_seed():
    found = plan(RECIPES["maml"], many_runs.varied("inner_lr=0.1,0.2"), 3)
    assert [(run.label, run.seed, run.own["inner_lr"]) for run in found] == [
        (f"inner_lr={value}", seed, value) for value in (0.1, 0.2) for seed in range(3)
    ]
    labels = [run.label for run in plan(RECIPES["maml"], {"inner_lr": (0.1,), "outer_lr": (1e-3, 2e-3)}, 1)]
    assert labels == ["inner_lr=0.1, outer_lr=0.001", "inner_lr=0.1, outer_lr=0.002"]
    assert [(run.label, run.seed) for run in plan(RECIPES["maml"], None, 2)] == [("default", 0), ("default", 1)]


@pytest.mark.parametrize("text", ["inner_lr", "inner_lr=", "inner_steps=1,2", "nothing=0.1", "inner_lr=0.1,fast"])
def test_what_cannot_be_varied_is_refused(text):
    with pytest.raises(SystemExit, match="^error: .*(--vary|inner_lr)"):
        call(many_runs, f"--vary={text}", "--ratings=nowhere.csv")


@pytest.mark.parametrize("recipe", [RECIPES["gp"], RANKING_RECIPES["set_encoder"]])
def test_what_is_not_trained_in_one_go_is_refused(recipe):
    with pytest.raises(ValueError, match=recipe.name):
        plan(recipe, None, 2)


def test_the_runs_learn_and_differ():
    ratings = make_world(0, users=120, items=50, ratings_per_user=20, dims=2).ratings
    recipe, benchmark = RECIPES["maml"].configured(steps=60), user_cold_start((5,), query=5)
    found = sweep(recipe, ratings, vary={"inner_lr": (0.02, 0.2)}, seeds=2, benchmark=benchmark, progress=False)
    final, first = (np.array(found.curves[at]["valid_rmse"]) for at in (-1, 0))
    assert (final < first).all() and len(set(final)) == 4
    assert [run["valid_rmse"] for run in found.runs] == pytest.approx(
        np.min([point["valid_rmse"] for point in found.curves], 0).tolist(), abs=1e-6
    )
    text = found.table()
    assert "inner_lr=0.2" in text and text.count("\n") == 3


def test_the_script_writes_what_it_shows_and_shows_it_again(tmp_path, capsys, monkeypatch):
    write_ratings(tmp_path / "mine.csv")
    own = ["--learner=protonet", "--steps=2", "--seeds=2", "--shots=2", "--query=3"]
    call(many_runs, f"--ratings={tmp_path / 'mine.csv'}", *own, f"--out={tmp_path / 'out'}")
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(run["label"], run["seed"]) for run in found["runs"]] == [("default", 0), ("default", 1)]
    mean = np.mean([run["valid_rmse"] for run in found["runs"]])
    shown = capsys.readouterr().out
    assert f"{mean:.4f}" in shown
    monkeypatch.setattr(many_runs, "sweep", None)  # it is done
    call(many_runs, f"--ratings={tmp_path / 'mine.csv'}", *own, f"--out={tmp_path / 'out'}")
    assert capsys.readouterr().out == f"{tmp_path / 'out'} is done already; this is what it found.\n\n{shown}"
    with pytest.raises(SystemExit, match="holds a run with other flags .*--steps=.*; choose another --out"):
        call(many_runs, f"--ratings={tmp_path / 'mine.csv'}", *own, "--steps=4", f"--out={tmp_path / 'out'}")
