"""Export as people meet it, on a small table."""

import zipfile

import pytest
from helpers import call, write_ratings

from experiments import export


def test_a_file_says_what_its_learner_says(tmp_path, capsys):
    write_ratings(tmp_path / "mine.csv")
    arguments = [f"--ratings={tmp_path / 'mine.csv'}", "--support=2", "--query=3"]
    arguments.append(f"--workdir={tmp_path / 'work'}")
    call(export, *arguments, "--learner=protonet_levels", "--steps=2")
    told = capsys.readouterr().out
    assert float(told.split("differ by ")[1]) < 1e-4
    with zipfile.ZipFile(tmp_path / "work" / "protonet_levels.zip") as archive:
        assert {"about.json", "arrays.npz", "adapt", "predict", "update"} == set(archive.namelist())
    with pytest.raises(SystemExit, match="error: .*--learner"):
        call(export, *arguments, "--learner=popularity")
