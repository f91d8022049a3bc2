"""A training's journal: what the loss says beside its value is logged, and an unsolved inner problem is said once."""

import logging

import jax.numpy as jnp
import pytest

from metarec_jax.train import loop
from metarec_jax.train.fit import Journal, proceed
from metarec_jax.train.store import Store


@pytest.mark.parametrize(("left", "warnings"), [(0.03, 0), (0.4, 1)])
def test_a_residual_is_logged_and_a_large_one_is_said_once(monkeypatch, caplog, left, warnings):
    store, run = Store(), loop.Run(loop.TrainState(jnp.int32(0), {}, ()), {}, jnp.float32(1.0), jnp.int32(0))

    def train(*arguments, on_steps, **how) -> loop.Run:
        for step in (1, 2, 3):
            on_steps(run, loop.Progress(step, 0.5, 0.9, {"residual": left}))
        return run

    monkeypatch.setattr(loop, "train", train)
    journal = Journal(store, "seed_7/imaml", "imaml", 7, progress=False)
    with caplog.at_level(logging.WARNING, logger="absl"):
        proceed(None, None, run, journal, steps=3)
    assert [record["residual"] for record in store.curve(7, "imaml")] == [left] * 3
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warnings
    assert all("imaml, seed 7" in line and "40% of" in line and "raise inner_steps" in line for line in said)
