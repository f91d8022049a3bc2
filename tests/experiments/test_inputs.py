"""What a run reads is part of what it is: after a file changed, the same command is another run."""

from pathlib import Path

import pytest
from helpers import call, write_ratings

from experiments import few_shot_text, main, melu_partitions, omniglot, scale, user_cold_start
from experiments.main import Options
from experiments.workdir import Workdir, claim
from metarec_jax.train.store import StoreError

SETS = {
    "ml-100k": ("u.data", "u.user", "u.item", "u.genre", "poster_features.npz"),
    "ml-1m": ("ratings.dat", "users.dat", "movies.dat", "melu_split.json"),
    "goodbooks-10k": ("ratings.csv", "books.csv", "book_genres.csv"),
    "omniglot": ("omniglot_28x28_1bit.npz", "vinyals_train.json", "vinyals_val.json", "vinyals_test.json"),
    "clinc150": ("data_full.json", "domains.json"),
}
# Script, its flags, the file that is changed below the folder, and how a message names it.
READ = {
    "ratings": (user_cold_start, ["--ratings=mine.csv"], "mine.csv", "--ratings: mine.csv"),
    "split": (user_cold_start, ["--ratings=mine.csv", "--split=cut.csv"], "cut.csv", "--split: cut.csv"),
    "tuned": (user_cold_start, ["--tuned=tuned.json"], "tuned.json", "--tuned: tuned.json"),
    "ratings of a set": (user_cold_start, [], "ml-100k/u.data", "--dataset: u.data"),
    "content": (user_cold_start, ["--content=poster"], "ml-100k/poster_features.npz", "poster_features.npz"),
    "genres": (user_cold_start, ["--dataset=goodbooks-10k"], "goodbooks-10k/book_genres.csv", "book_genres.csv"),
    "partition": (melu_partitions, ["--dataset=ml-1m", "--partition=mine.json"], "mine.json", "--partition: mine.json"),
    "its partition": (melu_partitions, ["--dataset=ml-1m"], "ml-1m/melu_split.json", "--dataset: melu_split.json"),
    "pictures": (omniglot, ["--train_on=glyphs"], "omniglot/vinyals_test.json", "--train_on: vinyals_test.json"),
    "texts": (few_shot_text, [], "clinc150/domains.json", "--dataset: domains.json"),
    "columns": (scale, ["--columns_dir=columns"], "columns/columns.json", "--columns_dir: columns.json"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A data directory that is the current one too, whose files hold nothing of interest."""
    files = [f"{name}/{file}" for name, own in SETS.items() for file in own]
    for file in (*files, "mine.csv", "cut.csv", "tuned.json", "mine.json", "columns/columns.json"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAREC_DATA_DIR", str(tmp_path))
    return tmp_path


def stamp_of(script, arguments: list[str]) -> str:
    options = script.main.options(["program.py", *arguments])
    assert isinstance(options, Options)
    return options.stamp(main.data_idle(options) if options.has("ratings") else ())


@pytest.mark.parametrize("what", READ)
def test_another_content_is_another_run(folder, what):
    script, arguments, file, name = READ[what]
    text = stamp_of(script, arguments)
    store = Workdir(claim("experiment", "label", text, "work"), text)
    store.save("results.json", b"{}")
    assert stamp_of(script, arguments) == text
    content = (folder / file).read_text()
    (folder / file).write_text("other")
    changed = stamp_of(script, arguments)
    assert claim("experiment", "label", changed, None) != claim("experiment", "label", text, None)
    with pytest.raises(StoreError, match="work holds a run with other content of the files") as caught:
        claim("experiment", "label", changed, "work")
    assert name in str(caught.value) and str(caught.value).count("--") == 2  # the file, and --workdir
    (folder / file).write_text(content)
    assert claim("experiment", "label", stamp_of(script, arguments), "work") == Path("work")


def test_what_is_not_read_and_where_files_lie_are_no_matter(folder, tmp_path):
    text = stamp_of(user_cold_start, ["--ratings=mine.csv"])
    (folder / "ml-100k" / "u.data").write_text("other")
    assert stamp_of(user_cold_start, ["--ratings=mine.csv"]) == text
    text = stamp_of(user_cold_start, ["--dataset=goodbooks-10k"])
    (folder / "moved").mkdir()
    (folder / "goodbooks-10k").rename(folder / "moved" / "goodbooks-10k")
    assert stamp_of(user_cold_start, ["--dataset=goodbooks-10k", f"--data_dir={folder / 'moved'}"]) == text


def test_the_same_command_after_a_file_changed_shows_no_stale_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["--ratings=mine.csv", "--learners=none", "--baselines=constant", "--query=3", "--shots=0"]

    def rmse() -> float:
        call(user_cold_start, *command)
        return float(capsys.readouterr().out.split("constant")[1].split()[0].strip("*"))

    write_ratings(tmp_path / "mine.csv")
    first = rmse()
    assert rmse() == first and len(list(tmp_path.glob("runs/user_cold_start/*"))) == 1
    call(user_cold_start, *command, "--workdir=work")
    capsys.readouterr()
    ratings = (tmp_path / "mine.csv").read_text()
    (tmp_path / "mine.csv").write_text(ratings.replace(",1,", ",5,"))
    assert rmse() != first and len(list(tmp_path.glob("runs/user_cold_start/*"))) == 2
    with pytest.raises(SystemExit, match="error: work .*--ratings: mine.csv.*choose another --workdir"):
        call(user_cold_start, *command, "--workdir=work")
