"""The user cold-start experiment in this process."""

import pytest

from experiments import user_cold_start as experiment


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """run(*arguments) -> (exit code, standard output, error): the experiment in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code, error = 0, ""
        try:
            experiment.main(["user_cold_start.py", *arguments])
        except SystemExit as end:
            code, error = (1, end.code) if isinstance(end.code, str) else (end.code or 0, "")
        return code, capsys.readouterr().out, error

    return run
