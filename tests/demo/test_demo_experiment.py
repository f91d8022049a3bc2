"""The demo as it is started: it trains once, says where it is, and says what is wrong before anything long starts."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import call, write_ratings

from experiments import demo
from experiments.common.recipes.base import example
from metarec_jax.demo.server import Server, bind


def test_it_trains_once_and_says_where_it_is(tmp_path, capsys, monkeypatch):
    learners, served = [], []

    def recommender(learner, params, ratings):
        learners.append(learner.predict(learner.adapt(params, example(ratings).support), example(ratings).query.x))
        return SimpleNamespace(capacity=1, popularity=np.zeros(ratings.num_items))

    monkeypatch.setattr(demo, "Recommender", recommender)  # that it compiles is tested beside it
    monkeypatch.setattr(Server, "serve_forever", lambda server: served.append(server.get_app()))
    write_ratings(tmp_path / "mine.csv")
    arguments = [f"--ratings={tmp_path / 'mine.csv'}", "--learner=protonet", "--query=3", "--steps=2"]
    arguments += ["--shots=0,3", "--port=0", f"--workdir={tmp_path / 'work'}"]
    call(demo, *arguments)
    assert "Ready: http://127.0.0.1:" in capsys.readouterr().out
    log = (tmp_path / "work" / "metrics.jsonl").read_bytes()
    call(demo, *arguments)
    assert (tmp_path / "work" / "metrics.jsonl").read_bytes() == log and len(served) == 2
    assert learners[0] == learners[1]


def test_what_is_wrong_is_one_line():
    with bind(0) as server, pytest.raises(SystemExit, match="error: port .* choose another --port"):
        call(demo, f"--port={server.server_port}", "--ratings=nowhere.csv")
    with pytest.raises(SystemExit, match="error: .*nowhere.csv"):
        call(demo, "--port=0", "--ratings=nowhere.csv")
    with pytest.raises(SystemExit, match="error: --learner=deep_kernel cannot give reasons"):
        call(demo, "--learner=deep_kernel")
    with pytest.raises(SystemExit, match="error: --split is not a flag of this experiment"):
        call(demo, "--port=0", "--split=split.csv")
