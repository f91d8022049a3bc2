"""A kill at any file operation of any program: the same command goes on from there, to the same bytes.

What costs time and writes nothing is replaced: steps of training, pictures, pages, the programs of an exported file.
The folder of a run is copied in every state that a kill can leave it in (`file_operations`), and the command goes on
from each of them. What a kill within orbax or SQLite leaves, which are not Python, is theirs to mend; that they do is
seen in test_scale_processes.py, and in test_storage.py and test_tune.py.
"""

import contextlib
import dataclasses
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from file_operations import states
from helpers import call, random_table, write_ratings
from optuna.storages import RDBStorage

from experiments import catalogue_ranking, export, few_shot_text, main, many_runs, scale, tune, user_cold_start
from metarec_jax import data
from metarec_jax.baselines import means
from metarec_jax.benchmarks import result
from metarec_jax.benchmarks import scale as scaled
from metarec_jax.benchmarks.few_shot import FewShotResult
from metarec_jax.benchmarks.few_shot import base as few_shot
from metarec_jax.benchmarks.few_shot import result as few_shot_result
from metarec_jax.data.features.text import hashed_ngrams
from metarec_jax.data.fetch import download
from metarec_jax.eval import intervals
from metarec_jax.eval.predict import Classified
from metarec_jax.recipes import RANKING_RECIPES, RECIPES
from metarec_jax.recipes.base import Built
from metarec_jax.report import html, plots
from metarec_jax.search import tuning
from metarec_jax.search.storage import open_storage
from metarec_jax.train import checkpoint, loop, step
from metarec_jax.types import Learner

LEARNER = Learner(lambda key, episode: start(), means.adapt_item, means.predict_constant, lambda *_: None)
SCORER = LEARNER._replace(output="score")


def start():
    """The parameters of a learner that says one number of everything."""
    return {"mean": jnp.float32(1)}


def train_steps(learner, sample, optimiser, *, length, **_):
    """Steps that only move the parameters."""

    def steps(data, state, root):
        moved = jax.tree.map(lambda leaf: leaf + 1 / (1 + state.step), state.params)
        return state._replace(step=state.step + length, params=moved), {"loss": np.ones(length)}

    return steps


class Checkpoints:
    """Those of `scale`, in files of ours."""

    def __init__(self, folder: Path):
        self._folder = folder

    def save(self, step, state):
        checkpoint.save(self._folder / f"{step}", state, {})

    def latest(self):
        return max((int(path.name) for path in self._folder.glob("[0-9]*")), default=None)

    def restore(self, step, like):
        return checkpoint.restore(self._folder / f"{step}", like)[0]


def classify(name, method, params, tasks, keys, *, batch):
    """A classifier that is right every other time."""
    right = np.arange(len(keys) * 6).reshape(-1, 6) % 2
    return Classified(right.mean(1, dtype=np.float32), right.astype(np.int32), np.ones_like(right, np.int32))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """All that costs time and writes nothing."""
    monkeypatch.setattr(step, "make_train_steps", train_steps)
    monkeypatch.setattr(scaled, "make_train_steps", train_steps)
    monkeypatch.setattr(scaled, "checkpoints", lambda folder: contextlib.nullcontext(Checkpoints(folder)))
    monkeypatch.setattr(scaled, "make_validate", lambda *_: lambda params: 1.0)
    monkeypatch.setattr(scaled, "environment", dict)
    monkeypatch.setattr(main, "make_devices", lambda number: None)
    monkeypatch.setattr(main, "keep_compiled", lambda: None)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(plots, "png", lambda figure: b"a picture")
    for kind, page in ((result.Result, html), (FewShotResult, FewShotResult.page)):
        monkeypatch.setattr(kind, "figures", lambda self: {"curves.png": None})
        monkeypatch.setattr(page, "html_page", lambda content: "a page")
    monkeypatch.setattr(intervals, "RESAMPLES", 20)
    monkeypatch.setattr(loop, "start", lambda learner, tasks, optimiser, key: loop.start_from(start(), optimiser))
    monkeypatch.setattr(few_shot, "classify", classify)
    monkeypatch.setattr(few_shot_result, "example_episodes", lambda *_: [])
    monkeypatch.setattr(hashed_ngrams, "__defaults__", (64, 16))
    toy, stages = RECIPES["protonet"], RANKING_RECIPES["set_encoder"]
    monkeypatch.setitem(RECIPES, "protonet", toy._replace(build=lambda train: Built(LEARNER, start())))
    build = lambda train, *_: Built(SCORER, start())  # noqa: E731
    monkeypatch.setitem(RANKING_RECIPES, "set_encoder", stages._replace(build=build))


@pytest.fixture(scope="module")
def ratings(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("ratings") / "mine.csv"
    write_ratings(path)
    return f"--ratings={path}"


def stable(folder: Path) -> dict[str, bytes]:
    """What is the same in every run: no times, and neither database nor archive, which hold some."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in files if name.endswith(".tmp")]
    timed = ("info.json", "results.json", "report.html", "metrics.jsonl", ".sqlite")
    return {name: b"" if name.endswith(timed) else content for name, content in files.items()}


def goes_on_from_everywhere(program, arguments: list[str], folder_flag: str, tmp_path: Path, capsys) -> int:
    """The number of states that a kill can leave the folder in, from all of which the command was seen to go on."""

    def run(folder: Path) -> str:
        call(program, *arguments, f"--{folder_flag}={folder}")
        return capsys.readouterr().out.replace(str(folder), "FOLDER").partition("done already")[2] or None

    work = tmp_path / "work"
    left = states(work, lambda: run(work), tmp_path / "killed")
    shown, whole = run(work), stable(work)
    assert shown or program in (export, tune)  # those two do what is left, and show it again
    for number, state in enumerate(left):
        try:
            run(state / "work")
        except SystemExit as end:
            raise AssertionError(f"state {number}: {end.code}: {[*state.rglob('*')]}") from end
        assert stable(state / "work") == whole, number
        shutil.rmtree(state)
    return len(left)


def test_the_main_job(ratings, tmp_path, capsys):
    own = ["--learners=protonet", "--baselines=constant", "--steps=2", "--shots=0,2", "--query=3"]
    assert goes_on_from_everywhere(user_cold_start, [ratings, *own], "workdir", tmp_path, capsys) > 50


def test_ranking(ratings, tmp_path, capsys):
    own = ["--learners=set_encoder", "--baselines=popularity", "--steps=2", "--shots=0,2", "--least=4", "--liked=any"]
    assert goes_on_from_everywhere(catalogue_ranking, [ratings, *own], "workdir", tmp_path, capsys) > 50


def test_tuning(ratings, tmp_path, capsys, monkeypatch):
    open_storage(str(tmp_path / "empty.sqlite"))

    def opened(where):  # without making all tables again
        if not Path(where).exists():
            shutil.copy(tmp_path / "empty.sqlite", tmp_path / "copy.sqlite")
            os.replace(tmp_path / "copy.sqlite", where)
        return RDBStorage(f"sqlite:///{where}", skip_compatibility_check=True, skip_table_creation=True)

    monkeypatch.setattr(tuning, "open_storage", opened)
    monkeypatch.setattr(jax, "clear_caches", lambda: None)
    own = ["--methods=constant", "--trials=1", "--shots=0,2", "--query=3"]
    assert goes_on_from_everywhere(tune, [ratings, *own], "workdir", tmp_path, capsys) > 10


def test_export(ratings, tmp_path, capsys, monkeypatch):
    own = ["--learner=protonet", "--steps=2", "--support=2", "--query=3"]
    monkeypatch.setattr("metarec_jax.serve.export.programs", lambda *_: {})
    monkeypatch.setattr(export, "compare", lambda *_: (0.0, 0.0))
    assert goes_on_from_everywhere(export, [ratings, *own], "workdir", tmp_path, capsys) > 20


def test_scale(tmp_path, capsys, monkeypatch):
    table = random_table(0, users=90, least=6)
    monkeypatch.setattr(data, "load", lambda *_: table)
    own = ["--learner=protonet", "--steps=2", "--every=1", "--batch=8", "--support=2", "--query=3"]
    assert goes_on_from_everywhere(scale, own, "out", tmp_path, capsys) > 20
    history = json.loads((tmp_path / "work" / "results.json").read_text())["history"]
    assert [point["step"] for point in history] == [1, 2]
    for other in ("--seed=1", "--batch=16", "--steps=3"):
        with pytest.raises(SystemExit, match=f"holds a run with other flags .*{other}.*; choose another --out"):
            call(scale, *own, other, f"--out={tmp_path / 'work'}")
    call(scale, *own, "--devices=2", f"--out={tmp_path / 'work'}")  # where it is done is no part of what is done
    assert "done already" in capsys.readouterr().out
    call(scale, *own, f"--out={tmp_path / 'work'}")
    assert json.loads((tmp_path / "work" / "results.json").read_text())["history"] == history


def test_many_runs(ratings, tmp_path, capsys, monkeypatch):
    run = {"label": "default", "seed": 0, "valid_rmse": 1.0, "step": 2}
    content = {"learner": "protonet", "dataset": "mine", "shots": [2], "runs": [run], "ms_per_step_of_all": 1.0}
    monkeypatch.setattr(many_runs, "sweep", lambda *_, **__: SimpleNamespace(content=content))
    own = ["--learner=protonet", "--steps=2", "--shots=2", "--query=3"]
    assert goes_on_from_everywhere(many_runs, [ratings, *own], "out", tmp_path, capsys) > 5


def test_few_shot(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "data" / "huffpost"
    folder.mkdir(parents=True)
    lines = [json.dumps({"raw": f"word{kind} {number}", "label": kind}) for kind in range(41) for number in range(8)]
    (folder / "huffpost.json").write_text("\n".join(lines))
    monkeypatch.setitem(download.SPECS, "huffpost", dataclasses.replace(download.SPECS["huffpost"], counts={}))
    own = ["--dataset=huffpost", f"--data_dir={folder.parent}", "--ways=2", "--shots=1", "--query=2", "--episodes=3"]
    own += ["--learners=protonet", "--baselines=none", "--steps=2"]
    assert goes_on_from_everywhere(few_shot_text, own, "workdir", tmp_path, capsys) > 40
