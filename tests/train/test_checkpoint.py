"""Checkpoints: byte-for-byte round trip, kills in the middle, damage, and states that do not fit."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metarec_jax.train import checkpoint
from metarec_jax.train.checkpoint import CheckpointError
from metarec_jax.types import TrainState


def make_state(width=3, scale=1.0):
    params = {
        "dense": {"kernel": jnp.arange(2.0 * width).reshape(2, width) * scale, "bias": jnp.zeros(width)},
        "half": jnp.full((2,), scale, jnp.bfloat16),
        "empty": jnp.zeros((0, 4)),
        "index": jnp.array([1, 2], jnp.int32),
    }
    schedule = optax.cosine_decay_schedule(1e-3, 10)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
    return TrainState(jnp.int32(7), params, optimiser.init(params))


def assert_same_bytes(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_round_trip_is_byte_for_byte(tmp_path):
    state, meta = make_state(scale=0.1), {"seed": 3, "name": "ridge", "history": [1.5, None]}
    path = tmp_path / "new" / "run.ckpt"
    checkpoint.save(path, state, meta)
    found, found_meta = checkpoint.restore(path, make_state(scale=0.0))
    assert_same_bytes(found, state)
    assert found_meta == meta
    assert os.listdir(path.parent) == ["run.ckpt"]
    first = path.read_bytes()
    checkpoint.save(path, found, found_meta)
    assert path.read_bytes() == first


def test_numpy_leaves_stay_numpy_and_keep_float64(tmp_path):
    tree = {"wide": np.array([0.1, np.nan, -0.0]), "scalar": np.float64(2.0), "device": jnp.ones(2)}
    checkpoint.save(tmp_path / "a", tree, {})
    found, _ = checkpoint.restore(tmp_path / "a", tree)
    assert found["wide"].tobytes() == tree["wide"].tobytes() and found["wide"].flags.writeable
    assert found["scalar"].dtype == np.float64 and isinstance(found["device"], jax.Array)


def test_restores_into_abstract_shapes(tmp_path):
    checkpoint.save(tmp_path / "a", make_state(), {})
    found, _ = checkpoint.restore(tmp_path / "a", jax.eval_shape(make_state))
    assert_same_bytes(found, make_state())


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_kill_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch, stage):
    path = tmp_path / "run.ckpt"
    checkpoint.save(path, make_state(scale=1.0), {"step": 1})
    old = path.read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.os, stage, killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, make_state(scale=2.0), {"step": 2})
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["run.ckpt"]
    found, meta = checkpoint.restore(path, make_state())
    assert meta == {"step": 1}
    assert_same_bytes(found, make_state(scale=1.0))


def test_a_stale_temporary_file_does_not_matter(tmp_path):
    path = tmp_path / "run.ckpt"
    (tmp_path / f".run.ckpt.{os.getpid()}.tmp").write_bytes(b"half a checkpoint of a killed process")
    checkpoint.save(path, make_state(), {})
    assert_same_bytes(checkpoint.restore(path, make_state())[0], make_state())


def test_every_truncation_is_a_clear_error(tmp_path):
    path = tmp_path / "run.ckpt"
    checkpoint.save(path, make_state(), {})
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 20, 51, 52, 53, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"run\.ckpt.*delete it to start anew") as error:
            checkpoint.restore(path, make_state())
        assert "\n" not in str(error.value)


def test_every_edited_byte_is_a_clear_error(tmp_path):
    path = tmp_path / "run.ckpt"
    checkpoint.save(path, make_state(), {"seed": 1})
    whole = path.read_bytes()
    for offset in [*range(60), *range(60, len(whole), 37)]:
        edited = bytearray(whole)
        edited[offset] ^= 1
        path.write_bytes(edited)
        with pytest.raises(CheckpointError, match="delete it to start anew"):
            checkpoint.restore(path, make_state())
    path.write_bytes(whole + b"x")
    with pytest.raises(CheckpointError, match="cut short or was edited"):
        checkpoint.restore(path, make_state())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda p: p | {"half": jnp.zeros(2)}, r"\['half'\] is bfloat16\[2\], expected float32\[2\]"),
        (lambda p: p | {"index": jnp.zeros(5, jnp.int32)}, r"\['index'\] is int32\[2\], expected int32\[5\]"),
        (lambda p: p | {"extra": jnp.zeros(5)}, r"lacks \.params\['extra'\]"),
        (lambda p: {name: p[name] for name in p if name != "index"}, r"also holds \.params\['index'\]"),
    ],
)
def test_a_state_that_does_not_fit_names_the_leaf_and_the_remedy(tmp_path, change, message):
    state = make_state()
    checkpoint.save(tmp_path / "run.ckpt", state, {})
    with pytest.raises(CheckpointError, match=message) as error:
        checkpoint.restore(tmp_path / "run.ckpt", state._replace(params=change(state.params)))
    assert "run.ckpt" in str(error.value) and "delete it to start anew" in str(error.value)


def test_what_is_not_an_array_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"\['key'\]"):
        checkpoint.save(tmp_path / "a", {"key": jax.random.key(0)}, {})
    with pytest.raises(TypeError, match=r"\['rate'\]"):
        checkpoint.save(tmp_path / "a", {"rate": 0.1}, {})
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / "a", {}, {"array": jnp.ones(2)})
    assert os.listdir(tmp_path) == []


def test_a_missing_file_is_its_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.restore(tmp_path / "none", {})
