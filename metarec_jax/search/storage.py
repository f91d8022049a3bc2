"""Where trials are kept: a SQLite file for the processes of one machine, or a database server for those of many."""

import random
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import RDBStorage
from sqlalchemy import event, exc
from sqlalchemy.engine import URL, Engine, make_url

HEARTBEAT, GRACE = 5, 30  # seconds between a trial's signs of life, and without one until its worker counts as dead
LOCKED = 300  # seconds that a SQLite file may be kept by the writes of others
OPENINGS = 6  # attempts to open a storage while others make its tables


def open_storage(where: str, heartbeat: int = HEARTBEAT, grace: int = GRACE) -> RDBStorage:
    """The storage of the trials; its tables are made where there are none.

    Args:
      where: a SQLite file, or a URL of SQLAlchemy.
      heartbeat: seconds between the signs of life of a running trial.
      grace: seconds without one after which a trial's worker counts as dead.

    Raises:
      ValueError: the file is something else; or the URL cannot be read, its driver is missing or its database cannot be
        reached. No message shows a password.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # no warning for every trial that another worker was faster with
    is_url = "://" in where
    url = _read_url(where) if is_url else URL.create("sqlite", database=where)
    options: dict[str, Any] = {"pool_pre_ping": True}  # a server may hang up during a long trial
    if url.get_backend_name() == "sqlite":
        options = {"connect_args": {"timeout": LOCKED}}
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    try:
        storage = _connect(url, options, heartbeat, grace)
    except ImportError as error:
        missing = error.__cause__ or error  # Optuna's own message does not name the module
        raise ValueError(f"--storage={url.drivername}://... needs a driver ({missing}); pip install it.") from error
    except (exc.SQLAlchemyError, OptunaError, RuntimeError, TypeError) as error:
        shown = url.set(query={}).render_as_string(hide_password=True) if is_url else where
        remedy = "check the URL and the server" if is_url else "delete it"
        reason = str(error).partition("\n")[0]
        for password in filter(None, (url.password, url.query.get("password"))):
            reason = reason.replace(str(password), "***")
        raise ValueError(f"{shown} cannot hold trials ({reason}); {remedy} or choose another --storage.") from error
    if url.get_backend_name() == "sqlite":
        _begin_at_once(storage.engine)
    return storage


def _read_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):  # a part of a password that holds an @
        raise ValueError(
            "--storage is no URL of SQLAlchemy such as postgresql+psycopg2://user:password@host/database, with special "
            "characters of the password as %40 and the like."
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError(
            "--storage: a sqlite URL without a file is in memory, where no other process sees it; name a file."
        )
    return url


def _connect(url: URL, options: dict[str, Any], heartbeat: int, grace: int) -> RDBStorage:
    text, attempt = url.render_as_string(hide_password=False), 1
    while True:
        try:
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                return RDBStorage(text, options, heartbeat_interval=heartbeat, grace_period=grace)
        except (exc.OperationalError, exc.ProgrammingError, exc.IntegrityError) as error:
            # Workers that make the tables at the same time get in each other's way. Without a statement there was no
            # connection, and another attempt would not help.
            if error.statement is None or attempt == OPENINGS:
                raise
        attempt += 1
        time.sleep(random.random())


def _begin_at_once(engine: Engine) -> None:
    """Make every transaction take the lock of the SQLite file when it begins.

    Optuna reads a trial's state and then changes it, on a server with the row locked. SQLite has no such locks, and by
    default no transaction before the change: what another worker writes in between would be overwritten.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections from before
