"""Save and restore a pytree of arrays: one file, atomic, checked.

The file is a header (magic, version, length and SHA-256 of what follows) and a msgpack map of leaf path ->
array (flax.serialization), with the caller's JSON-able meta beside it. A kill in the middle of a save leaves
the previous file as it was; a file that was cut or edited is an error, never a half-restored state.
"""

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.ops.files import write_atomic
from metarec_jax.ops.one_line import OneLineError

_MAGIC = b"METAREC\n"
_VERSION = 1
_HEADER = struct.Struct(">8sIQ32s")  # magic, version, length of the payload, its SHA-256


class CheckpointError(OneLineError):
    """A checkpoint that cannot be used; the one-line message names the file and the remedy."""


def _leaves(tree: Any) -> dict[str, Any]:
    """Path -> leaf, for example ".params['bias']"; raises TypeError for what is not a plain array."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path) or "the root"
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or jnp.issubdtype(dtype, jax.dtypes.prng_key):
            raise TypeError(f"checkpoint leaf {name} is a {type(leaf).__name__}, not a plain array")
        leaves[name] = leaf
    return leaves


def encode(tree: Any, meta: dict[str, Any]) -> bytes:
    """A pytree of jax or numpy arrays and a JSON-able `meta` as the content of a file.

    Raises:
      TypeError: meta is not JSON-able, or a leaf is not a plain array (PRNG keys are not stored: derive them
        from the seed and the step).
    """
    arrays = {name: np.asarray(leaf) for name, leaf in _leaves(tree).items()}
    payload = flax.serialization.msgpack_serialize({"meta": json.dumps(meta), "leaves": arrays})
    return _HEADER.pack(_MAGIC, _VERSION, len(payload), hashlib.sha256(payload).digest()) + payload


def decode(raw: bytes, like: Any, where: str) -> tuple[Any, dict[str, Any]]:
    """What `encode` was given, in the structure of `like`.

    Args:
      raw: the content of a file.
      like: a pytree of the same structure, shapes and dtypes: a fresh state, or its `jax.eval_shape`.
      where: the file as people find it, for errors.

    Returns:
      (tree, meta). A leaf is a numpy array where it is one in `like`, else a jax array on the default device.

    Raises:
      CheckpointError: the content is cut, edited, of another version, or of another structure, shape or dtype.
    """
    content = _checked_payload(raw, where)
    stored, wanted = content["leaves"], _leaves(like)
    remedy = "restore it with the model and settings that wrote it, or delete it to start anew"
    unmatched = wanted.keys() ^ stored.keys()
    if unmatched:
        name = min(unmatched)
        problem = "lacks" if name in wanted else "also holds"
        raise CheckpointError(f"{where}: the checkpoint {problem} {name}: {remedy}")
    for name, leaf in wanted.items():
        actual, expected = _describe(stored[name]), _describe(leaf)
        if actual != expected:
            raise CheckpointError(f"{where}: {name} is {actual}, expected {expected}: {remedy}")
    leaves = [  # copies, never views of the file's bytes: training donates these buffers
        np.array(stored[name]) if isinstance(leaf, np.ndarray | np.generic) else jnp.array(stored[name])
        for name, leaf in wanted.items()
    ]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), json.loads(content["meta"])


def save(path: str | os.PathLike[str], tree: Any, meta: dict[str, Any]) -> None:
    """`encode` into a file, atomically.

    Raises:
      TypeError: as of `encode`.
      OSError: the file cannot be written; an older checkpoint there is as it was.
    """
    write_atomic(path, encode(tree, meta))


def restore(path: str | os.PathLike[str], like: Any) -> tuple[Any, dict[str, Any]]:
    """`decode` a file.

    Raises:
      FileNotFoundError: there is no such file.
      CheckpointError: as of `decode`; the message names the file.
    """
    return decode(Path(path).read_bytes(), like, str(path))


def arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """What `save` wrote without its structure: path of a leaf -> array, for example ".params['bias']".

    Raises:
      FileNotFoundError, CheckpointError: as of `restore`.
    """
    return _checked_payload(Path(path).read_bytes(), str(path))["leaves"]


def _describe(leaf: Any) -> str:
    return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"


def _checked_payload(raw: bytes, path: str) -> Any:
    """The decoded payload of a file whose header and checksum are right; CheckpointError otherwise."""
    if len(raw) < _HEADER.size or not raw.startswith(_MAGIC):
        raise CheckpointError(f"{path}: not a metarec_jax checkpoint, or cut short: delete it to start anew")
    _, version, length, digest = _HEADER.unpack_from(raw)
    if version != _VERSION:
        raise CheckpointError(f"{path}: version {version}, expected {_VERSION}: delete it to start anew")
    payload = memoryview(raw)[_HEADER.size :]
    if len(payload) != length or hashlib.sha256(payload).digest() != digest:
        raise CheckpointError(f"{path}: the checkpoint is cut short or was edited: delete it to start anew")
    return flax.serialization.msgpack_restore(bytes(payload))
