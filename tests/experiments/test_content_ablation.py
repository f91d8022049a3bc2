"""The ablation of content as people meet it: a small set of films whose genre is all that matters."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers import call

from experiments import content_ablation, item_cold_start
from metarec_jax.data.fetch import download
from metarec_jax.report import results

GENRES = ("Comedy", "Drama", "Horror")


@pytest.fixture
def films(tmp_path, monkeypatch) -> Path:
    """100 users, 60 films whose quality is their genre, 25 ratings a user."""
    spec = dataclasses.replace(download.SPECS["ml-latest-small"], counts={})
    monkeypatch.setitem(download.SPECS, "ml-latest-small", spec)
    rng, folder = np.random.default_rng(0), tmp_path / "ml-latest-small"
    folder.mkdir()
    lines = ["userId,movieId,rating,timestamp"]
    for user in range(100):
        for film in rng.choice(60, 25, replace=False):
            stars = int(np.clip(np.round(2 + film % 3 + 0.7 * rng.normal()), 1, 5))
            lines.append(f"{user},{film},{stars},{1000 * user + film}")
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    rows = [f"{film},Film {film} of {film // 2} ({1980 + film % 20}),{GENRES[film % 3]}" for film in range(60)]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *rows]) + "\n")
    return tmp_path


def test_what_a_kind_is_worth_shows(films, capsys):
    arguments = [f"--data_dir={films}", "--dataset=ml-latest-small", "--content=genre,year+title"]
    arguments += ["--learners=no_content", "--steps=10", "--shots=0"]
    call(content_ablation, *arguments, f"--workdir={films / 'work'}")
    found = results.read_json(films / "work" / "results.json")
    kinds = {row["name"]: row["kind"] for row in found["rows"]}
    assert kinds == {"all_content": "baseline", "no_content": "learner"}
    cold = {name: results.figures(found, name, 0, "rmse")["mean"] for name in kinds}
    assert cold["all_content"] < 0.97 * cold["no_content"]
    lost = results.find(found, "no_content", 0, "versus", "rmse")
    assert lost["baseline"] == "all_content" and lost["low"] > 0
    assert "K = 0, all_content" in capsys.readouterr().out


def test_content_that_makes_no_sense_is_refused(films):
    arguments = [f"--data_dir={films}", "--dataset=ml-latest-small"]
    for program, wrong, message in (
        (content_ablation, ["--content=genre"], "content: name two kinds"),
        (content_ablation, [], "content: name two kinds"),
        (item_cold_start, ["--content=genre,plot"], "has no item features 'plot'"),
        (item_cold_start, ["--content=genre", "--ratings=mine.csv"], "--content is not used with --ratings"),
    ):
        given = arguments if "--ratings=mine.csv" not in wrong else []
        with pytest.raises(SystemExit, match=message):
            call(program, *given, *wrong, f"--workdir={films / 'work'}")
