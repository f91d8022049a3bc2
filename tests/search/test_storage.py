"""Where trials are kept: what a wrong --storage says, two who change the same trial, and kills."""

import threading

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import Engine

from metarec_jax.search import storage
from metarec_jax.search.storage import open_storage

URLS = {
    "postgresql+psycopg2://me:secret@127.0.0.1:9/trials": ["postgresql+psycopg2://"],  # no driver, or no server
    "postgresql+no_such://me:secret@127.0.0.1:9/trials": ["postgresql+no_such://"],
    "nothing://me:secret@host/trials?password=secret": ["nothing://", "another --storage"],
    "postgresql://me:an@secret@host/trials": ["--storage", "%40"],
    "postgresql://me:1@host:secret/trials": ["--storage", "URL"],
    "://me:secret@host": ["--storage", "URL"],
    "sqlite://": ["in memory", "name a file"],
}


@pytest.mark.parametrize("url", URLS)
def test_a_wrong_url_is_one_line_without_the_password(url):
    with pytest.raises(ValueError) as error:
        open_storage(url)
    message = str(error.value)
    assert "secret" not in message and "\n" not in message
    assert all(word in message for word in URLS[url]), message


def test_a_server_that_is_not_there_is_asked_once_and_its_answer_shows_no_password(monkeypatch):
    asked = []

    def refuse(url, *_, **__):
        asked.append(url)
        raise sqlalchemy.exc.OperationalError(None, None, Exception("refused me:s/cret\nsecond line"))

    monkeypatch.setattr(storage, "RDBStorage", refuse)
    with pytest.raises(ValueError) as error:
        open_storage("mysql+pymysql://me:s%2Fcret@host/trials")
    assert str(error.value).startswith("mysql+pymysql://me:***@host/trials cannot hold trials (")
    assert "cret" not in str(error.value) and "\n" not in str(error.value) and "refused me:***" in str(error.value)
    assert asked == ["mysql+pymysql://me:s%2Fcret@host/trials"]


def test_two_that_end_the_same_trial_do_not_overwrite_each_other(tmp_path, monkeypatch):
    """One is about to fail it, as that of a dead worker, while its worker completes it."""
    one, other = (open_storage(str(tmp_path / "trials")) for _ in range(2))
    study = optuna.create_study(storage=one)
    trial = one.create_new_trial(one.get_study_id_from_name(study.study_name))
    refused = []

    def complete():
        try:
            other.set_trial_state_values(trial, TrialState.COMPLETE, [1.0])
        except UpdateFinishedTrialError as error:
            refused.append(error)

    thread = threading.Thread(target=complete)

    def meanwhile(*_):  # between reading the state and changing it
        thread.start()
        thread.join(0.5)

    monkeypatch.setattr(one, "check_trial_is_updatable", meanwhile)
    one.set_trial_state_values(trial, TrialState.FAIL)
    thread.join()
    assert len(refused) == 1 and one.get_trial(trial).state == TrialState.FAIL and one.get_trial(trial).value is None


def test_a_kill_while_the_tables_are_made_leaves_what_can_be_opened(tmp_path):
    """A copy of the file and of SQLite's journal is what a kill leaves; where nothing has changed it is made once."""
    work, left = tmp_path / "work", []
    work.mkdir()

    def keep(*_):
        content = {path.name: path.read_bytes() for path in work.iterdir()}
        if content not in left:
            left.append(content)

    for moment in ("before_cursor_execute", "commit"):
        event.listen(Engine, moment, keep)
    try:
        open_storage(str(work / "trials.sqlite"))
    finally:
        for moment in ("before_cursor_execute", "commit"):
            event.remove(Engine, moment, keep)
    assert len(left) > 10
    for number, content in enumerate(left):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, raw in content.items():
            (folder / name).write_bytes(raw)
        opened = open_storage(str(folder / "trials.sqlite"))
        assert optuna.create_study(storage=opened, study_name="gp").trials == []
