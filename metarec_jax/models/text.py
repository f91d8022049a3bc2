"""Networks for texts as hashed n-grams, precomputed vectors, or bytes.

`Reweighted` and `Mapped` start as the identity, so that a metric learner starts at the nearest class mean of the given
features. `Reweighted` learns a scale of every feature, initially 1, and a small network beside it, initially 0.
`Mapped` learns a linear map, initially the identity.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from metarec_jax.data.features.text import Bag
from metarec_jax.ops.similarity import unit
from metarec_jax.types import Array


class TextBytes(NamedTuple):
    """Texts as bytes, and as n-grams for methods that do not use bytes."""

    bytes: Array  # [N, L] uint8
    bag: Bag


def dense(x: Bag | Array, width: int) -> Array:
    """Rows [N, width] of a bag, or features [N, F] unchanged."""
    if not isinstance(x, Bag):
        return x
    rows = jnp.arange(len(x.column))[:, None]
    return jnp.zeros((len(x.column), width)).at[rows, x.column].add(x.weight)


class Reweighted(nn.Module):
    """Features [N, F], or a `Bag` of F columns, -> embeddings [N, F + extra].

    The features, less a centre and times their scales, normalised to a learnt length, beside `extra` outputs of a
    network of one hidden layer. With length 1 a softmax over squared distances would be almost uniform.

    Attributes:
      width: F.
      hidden: width of the network's hidden layer.
      extra: number of its outputs, initially 0.
      sharpness: initial length.
      centre: initialiser of the centre, [F], for example the mean of the training features.
    """

    width: int
    hidden: int = 256
    extra: int = 64
    sharpness: float = 4.0
    centre: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Bag | Array) -> Array:
        features = dense(x, self.width)
        scale = self.param("log_scale", nn.initializers.zeros, (self.width,))
        centre = self.param("centre", self.centre, (self.width,))
        length = self.param("log_length", nn.initializers.constant(jnp.log(self.sharpness)), ())
        rows = jnp.exp(length) * unit((features - centre) * jnp.exp(scale))
        hidden = nn.relu(nn.Dense(self.hidden, name="layer")(rows))
        added = nn.Dense(self.extra, kernel_init=nn.initializers.zeros, name="added")(hidden)
        return jnp.concatenate([rows, added], -1)


class Mapped(nn.Module):
    """Features [N, F], or a `Bag` of F columns, -> embeddings [N, F] of a fixed length, by a linear map I + M.

    Attributes:
      width: F.
      rank: of M, which is initially 0.
      length: of the embeddings; with length 1 a softmax over squared distances would be almost uniform.
      centre: initialiser of the centre, [F], subtracted first, for example the mean of the training features.
    """

    width: int
    rank: int
    length: float = 4.0
    centre: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Bag | Array) -> Array:
        rows = unit(dense(x, self.width) - self.param("centre", self.centre, (self.width,)))
        read = nn.Dense(self.rank, use_bias=False, name="read")(rows)
        added = nn.Dense(self.width, use_bias=False, kernel_init=nn.initializers.zeros, name="added")(read)
        return self.length * unit(rows + added)


class ByteNet(nn.Module):
    """Texts as bytes, uint8 [N, L] with 0 for padding, -> embeddings [N, 2 width].

    Two convolutions over neighbouring bytes, with a skip connection around the second, and then the maximum and the
    mean over the bytes of the text.
    """

    width: int = 128
    span: int = 5  # bytes that a convolution sees

    @nn.compact
    def __call__(self, x: TextBytes) -> Array:
        real = (x.bytes > 0)[..., None]
        rows = nn.Embed(256, self.width // 4, name="bytes")(x.bytes.astype(jnp.int32)) * real
        rows = nn.relu(nn.Dense(self.width, name="first")(self._spans(rows))) * real
        rows = rows + nn.relu(nn.Dense(self.width, name="second")(self._spans(nn.LayerNorm(name="norm")(rows) * real)))
        rows = rows * real
        mean = jnp.sum(rows, 1) / jnp.maximum(jnp.sum(real, 1), 1)
        return jnp.concatenate([jnp.max(rows, 1), mean], -1)  # values are 0 or more, so padding is never the highest

    def _spans(self, rows: Array) -> Array:
        """Each byte's row [N, L, C] beside those of its neighbours: [N, L, span C]."""
        half, length = self.span // 2, rows.shape[1]
        padded = jnp.pad(rows, ((0, 0), (half, half), (0, 0)))
        return jnp.concatenate([padded[:, offset : offset + length] for offset in range(self.span)], -1)
