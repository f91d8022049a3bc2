"""The catalogue ranking experiment end to end on a small synthetic world, resumed after a kill, and bad input."""

import json
import shutil
from functools import partial

import numpy as np
import polars as pl
import pytest
from helpers import slow_but

from experiments import catalogue_ranking as experiment
from experiments import main
from metarec_jax.data.io.ratings_file import read_ratings
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.eval import metrics
from metarec_jax.report import results
from metarec_jax.tasks.catalogue import default_threshold, liked_only
from metarec_jax.tasks.split_file import read_split
from metarec_jax.train import loop

SHOTS = (0, 2, 4)
NAMES = ["popularity", "item_cosine", "neighbour_encoder"]
SMALL = [
    "--shots=0,2,4",
    "--least=8",
    "--baselines=popularity,item_cosine",
    "--steps=300",
    "--learners=neighbour_encoder",
]
SMALL += ["--set=neighbour_encoder.dim=16", "--set=neighbour_encoder.width=16", "--set=neighbour_encoder.batch=64"]
SMALL += ["--set=neighbour_encoder.outer_lr=0.01", "--set=neighbour_encoder.dropout=0.2"]
SMALL += ["--set=neighbour_encoder.rated=0.2", "--set=neighbour_encoder.alone=0.2"]


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    """A world in which tastes are strong and popularity is weak."""
    world = make_world(
        0, users=500, items=60, ratings_per_user=30, dims=2, popularity=0.3, item_bias=0.1, item_scale=1.0
    )
    table = world.ratings
    frame = pl.DataFrame(
        {"user": table.user_ids[table.user], "item": table.item_ids[table.item], "rating": np.round(table.rating)}
    )
    path = tmp_path_factory.mktemp("world") / "world.csv"
    frame.filter(pl.col("rating").is_between(1, 5)).write_csv(path)
    return path


@pytest.fixture(scope="module")
def call(ratings):
    """call(*flags): the experiment in this process."""

    def call(*arguments: str) -> None:
        experiment.main(["catalogue_ranking.py", f"--ratings={ratings}", *arguments])

    return call


@pytest.fixture(scope="module")
def finished(call, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "work"
    call(*SMALL, f"--workdir={folder}")
    return folder


def test_results_follow_the_schema(finished):
    found = results.read_json(finished / "results.json")
    assert {(row["name"], row["shots"]) for row in found["rows"]} == {(name, k) for name in NAMES for k in SHOTS}
    assert results.metrics(found) == ["ndcg@10", "recall@20", "hit@10", "mrr"]
    for row in found["rows"]:
        assert all(0 < figures["mean"] <= 1 and figures["undefined"] == 0 for figures in row["metrics"].values())
    assert list(found["curves"]) == ["rated, neighbour_encoder", "neighbour_encoder"]  # one stage after the other
    curve = found["curves"]["neighbour_encoder"]
    assert curve[-1]["step"] == 240 and all(0 < point["valid_ndcg@10"] < 1 for point in curve)  # 0.2 of 300 go before
    assert "Hit rate@10" in (finished / "report.html").read_text() and (finished / "curves.png").exists()
    assert "neighbour_encoder.dim=16" in (finished / "flags.txt").read_text()


def test_means_are_those_of_the_values_of_each_user(finished):
    frame = pl.read_parquet(finished / "values.parquet")
    for row in results.read_json(finished / "results.json")["rows"]:
        own = frame.filter((pl.col("name") == row["name"]) & (pl.col("shots") == str(row["shots"])))
        for metric, figures in row["metrics"].items():
            assert figures["mean"] == pytest.approx(own[metric].mean(), abs=1e-6)


def test_popularity_is_what_its_definition_says(finished, ratings):
    """Counted anew from the split file: the users' relevant items are those of the file's query."""
    table = liked_only(read_ratings(ratings), 4.0)
    split = read_split(finished / "seed_0" / "split.parquet", table)
    count = np.bincount(table.item[split.train_rows], minlength=table.num_items).astype(np.float32)
    frame = pl.read_parquet(finished / "values.parquet").filter(pl.col("name") == "popularity", pl.col("shots") == "4")
    for place in range(0, len(split.test.users), 7):
        user = split.test.users[place]
        relevant, known = (table.item[rows[rows >= 0]] for rows in (split.test.query[place], split.test.support[place]))
        y, mask = np.zeros(table.num_items, np.float32), np.ones(table.num_items, np.float32)
        y[relevant], mask[known] = 1.0, 0.0
        wanted = float(metrics.normalised_dcg(count, y, mask, 10))
        assert frame.filter(pl.col("user") == table.user_ids[user])["ndcg@10"].item() == pytest.approx(wanted, abs=1e-5)


def test_the_learner_beats_popularity_by_a_margin_and_adaptation_is_what_does_it(finished):
    found = results.read_json(finished / "results.json")
    at = partial(results.figures, found, metric="ndcg@10")
    assert at("neighbour_encoder", 4)["mean"] > 1.15 * at("popularity", 4)["mean"]
    assert results.find(found, "neighbour_encoder", 4, "adaptation", "ndcg@10")["low"] > 0


# Chunks of 20, 20: in training on what was rated, on what was liked.
@pytest.mark.parametrize("killed", slow_but([3], [3, 23]))
def test_a_killed_run_goes_on_to_the_same_figures(call, finished, tmp_path, monkeypatch, killed):
    folder, chunks, save = tmp_path / "work", [], loop.train

    def dies(*arguments, on_steps, **keywords):
        def on(run, progress):
            on_steps(run, progress)
            chunks.append(progress.step)
            if len(chunks) == killed:
                raise KeyboardInterrupt

        return save(*arguments, on_steps=on, **keywords)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "train", dies)
        call(*SMALL, f"--workdir={folder}")
    call(*SMALL, f"--workdir={folder}")
    assert (folder / "values.parquet").read_bytes() == (finished / "values.parquet").read_bytes()
    one, other = (json.loads((path / "results.json").read_text())["rows"] for path in (folder, finished))
    assert one == other
    shutil.rmtree(folder)


def test_a_run_that_is_done_is_shown(call, finished, capsys):
    call(*SMALL, f"--workdir={finished}")
    shown = capsys.readouterr().out
    assert "is done already" in shown and "nDCG@10 on the test tasks" in shown


def test_users_are_ranked_for_a_new_item(call, tmp_path, ratings):
    """By how many items they like, where no liker of the item is known."""
    table = read_ratings(ratings)
    call(
        "--shots=0,4", "--least=8", "--baselines=popularity", "--learners=none", "--rank=users", f"--workdir={tmp_path}"
    )
    rows = pl.read_parquet(tmp_path / "values.parquet")
    assert set(rows["user"]) <= set(table.item_ids.tolist())
    found = results.read_json(tmp_path / "results.json")
    assert (
        found["split"]["train_tasks"] + found["split"]["valid_tasks"] + found["split"]["test_tasks"] <= table.num_items
    )


def test_what_was_chosen_is_ranked_without_a_column_of_ratings(tmp_path):
    path = tmp_path / "chosen.csv"
    path.write_text("user,item\na,x\na,y\nb,x\na,x\n")
    table = main.load_ratings(experiment.main.options(["", f"--ratings={path}", "--duplicates=first"]))
    assert table.rating.tolist() == [1, 1, 1] and liked_only(table, default_threshold(table)).num_users == 2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--liked=much", "neither a number nor 'any'"),
        ("--liked=9", "nothing is rated 9 or more"),
        ("--shots=0,10", "least=8 leaves nothing to be found after 10 items are known"),
        ("--shots=all", "--shots: 'all' is not a whole number"),
        ("--query=5", "Unknown command line flag 'query'"),
        ("--set=neighbour_encoder.rated=1", "leaves no step for what was liked"),
        ("--learners=maml", "unknown 'maml'; choose all, none, or some of set_encoder, neighbour_encoder"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(call, tmp_path, flag, message):
    with pytest.raises(SystemExit, match=message):
        call(*SMALL, flag, f"--workdir={tmp_path / 'work'}")
    assert not (tmp_path / "work").exists()
