"""The demo as it is started: it says where it is, or what is wrong, and that before anything long starts."""

import pytest
from helpers import call, write_ratings

from experiments import demo, learner
from experiments.workdir import Workdir
from metarec_jax.benchmarks import Trained, user_cold_start
from metarec_jax.serve.demo.connections import Server, bind
from metarec_jax.train.store import Store


def test_it_says_where_it_is(capsys, monkeypatch, tmp_path, table, ridge, recommender):
    def train(options, benchmark):
        fold = user_cold_start((0,)).folds(table, 0, Store())[0]
        return learner.Use("ridge", Trained(*ridge, {}), fold, Workdir(tmp_path, ""))

    served = []
    monkeypatch.setattr(learner, "train", train)  # which export.py does too
    monkeypatch.setattr(demo, "Recommender", lambda *_: recommender)
    monkeypatch.setattr(Server, "serve_forever", lambda server: served.append((server.server_port, server.get_app())))
    call(demo, "--port=0")
    ((port, app),) = served
    assert f"Ready: http://127.0.0.1:{port} (" in capsys.readouterr().out and port > 0 and callable(app)


def test_what_is_wrong_is_one_line(tmp_path):
    with bind(0) as server, pytest.raises(SystemExit, match="error: port .* choose another --port"):
        server.listen(lambda *_: [])
        call(demo, f"--port={server.server_port}", "--ratings=nowhere.csv")
    with pytest.raises(SystemExit, match="error: .*nowhere.csv"):
        call(demo, "--port=0", "--ratings=nowhere.csv")
    with pytest.raises(SystemExit, match="error: --learner=deep_kernel cannot give reasons"):
        call(demo, "--learner=deep_kernel")
    with pytest.raises(SystemExit, match="error: .*'split'"):
        call(demo, "--port=0", "--split=split.csv")
    write_ratings(tmp_path / "mine.csv")
    with pytest.raises(SystemExit, match=r"error: .*: \d+ support .* --shots="):  # by --shots, which the demo has
        call(demo, "--port=0", f"--ratings={tmp_path / 'mine.csv'}", f"--workdir={tmp_path / 'work'}")
