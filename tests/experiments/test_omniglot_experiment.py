"""The Omniglot experiment as a script, on made pictures: a page with pictures, and flags that go together."""

import json

import numpy as np
import pytest
from helpers import call

from experiments import omniglot
from metarec_jax.benchmarks.few_shot import FewShotData
from metarec_jax.data.classes import Classes
from metarec_jax.data.fetch.sources import SPECS

FLAGS = ["--ways=3", "--shots=1,2", "--query=2", "--episodes=4", "--learners=none", "--baselines=nearest mean"]


def test_a_page_with_pictures(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    ink, members = rng.integers(0, 2, (72, 28, 28)).astype(np.uint8), np.arange(12)
    parts = {"train": members[:4], "valid": members[4:8], "test": members[8:]}
    classes = Classes("made", ink, np.arange(13) * 6, [f"{member}" for member in members], parts, "here")
    asked = []
    (tmp_path / "omniglot").mkdir()
    for file in SPECS["omniglot"].files:  # whose content is hashed
        (tmp_path / "omniglot" / file).write_text("")
    monkeypatch.setattr(omniglot, "omniglot_data", lambda *where: asked.append(where) or FewShotData(classes))
    call(omniglot, *FLAGS, f"--workdir={tmp_path / 'work'}", f"--data_dir={tmp_path}", "--train_on=all_but_test")
    assert asked == [("all_but_test", tmp_path)]
    content = json.loads((tmp_path / "work" / "results.json").read_text())
    assert [(row["name"], row["ways"], row["shots"]) for row in content["rows"]] == [
        ("nearest mean", 3, 1),
        ("nearest mean", 3, 2),
    ]
    assert content["official"] is None and content["figures"] == [] and content["curves"] == {}
    page = (tmp_path / "work" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 * 3 * (1 + 2) + 2 * 2 * 3 * 2  # known, then to be told
    assert not (tmp_path / "work" / "curves.png").exists()
    assert "3-way 2-shot" in capsys.readouterr().out


MISTAKES = {
    ("--steps=3",): "--steps needs a learner.",
    ("--learners=maml", "--steps=3", "--minutes=1"): "--steps and --minutes: give one of the two.",
    ("--baselines=none",): "--learners=none and --baselines=none leave nothing to run.",
    ("--statistics=mine",): "published|own",
    ("--dataset=omniglot",): "Unknown command line flag 'dataset'",
}


@pytest.mark.parametrize("flags", MISTAKES)
def test_a_mistake_is_one_line(tmp_path, flags):
    with pytest.raises(SystemExit) as end:
        call(omniglot, *FLAGS, f"--workdir={tmp_path / 'work'}", *flags)
    assert str(end.value).startswith("error: ") and MISTAKES[flags] in str(end.value)
    assert "\n" not in str(end.value) and not (tmp_path / "work").exists()
