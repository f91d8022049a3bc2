"""The four convolutions of few-shot image classification, with normalisation that says what it looks at.

`Conv4` with max-pools: Vinyals et al. 2016 (arXiv:1606.04080) and Snell et al. 2017, 28x28 -> 14 -> 7 -> 3 -> 1.
`Conv4(strided=True)`: Finn et al. 2017 (arXiv:1703.03400, section 5.2), strides of 2 instead and the mean over the 2x2
that are left. A layer is a convolution without a bias, normalisation, ReLU.

Easily got wrong: whose statistics a batch normalisation uses. With those of the rows it is given, as in MAML's code,
the prediction for one query depends on which other queries are asked with it: the result is transductive. `Rows.like`
gives other rows, or ready statistics, instead; `learners.normalised` sets it. Rows of mask 0 never count.
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.ops.conv import FEW_CHANNELS, Phases, conv3x3, in_row_blocks, output_moments, pool, strided_conv3x3
from metarec_jax.types import Array

EPSILON = 1e-3  # added to variances, as in MAML's code: of five images' last layer a channel may be all but constant
STATISTICS = "statistics"  # the collection that layers write theirs to, where it is mutable


class Rows(NamedTuple):
    """Images with which of them are real, and whose statistics normalise them."""

    x: Array  # [N, H, W, C]
    mask: Array  # [N] 1 real, 0 padding
    like: Any = None  # None: their own; Rows: those of these; else a collection STATISTICS that the network wrote


def as_rows(x: Array | Rows) -> Rows:
    """Rows as they are; an array [N, H, W, C] is rows that are all real."""
    return x if isinstance(x, Rows) else Rows(x, jnp.ones(len(x), x.dtype))


class Conv4(nn.Module):
    """Images [N, H, W, C], or `Rows` of them, -> embeddings [N, D]; D = width for 28 x 28."""

    width: int = 64
    layers: int = 4
    strided: bool = False
    norm: Literal["batch", "layer"] = "batch"  # layer: each row by its own mean and variance

    @nn.compact
    def __call__(self, x: Array | Rows) -> Array:
        rows = as_rows(x)
        x, counted, own, ready = rows.x, rows.mask, 0, {}
        if isinstance(rows.like, Rows):  # together, so that what normalises them is as adapted as they are
            own = len(rows.like.x)
            x = jnp.concatenate([rows.like.x, x])
            counted = jnp.concatenate([rows.like.mask, jnp.zeros_like(counted)])
        elif rows.like is not None:
            ready = rows.like
        for layer in range(self.layers):
            name = f"layer_{layer}"
            x = Layer(self.width, self.strided, self.norm, name=name)(x, counted, ready.get(name))
        x = x[own:]
        return jnp.mean(x, (1, 2)) if self.strided else x.reshape(len(x), -1)


class Layer(nn.Module):
    """Convolution, normalisation, ReLU and, unless `strided`, max-pool: [N, H, W, C] -> [N, H // 2, W // 2, width].

    Equal to them in that order, though the pool comes before the normalisation here: see `activate`.
    """

    width: int
    strided: bool
    norm: str

    @nn.compact
    def __call__(self, x: Array, counted: Array, ready: dict[str, tuple[Array, Array]] | None) -> Array:
        kernel = self.param("kernel", nn.initializers.he_normal(), (3, 3, x.shape[-1], self.width))
        scale = self.param("scale", nn.initializers.ones, (self.width,))
        offset = self.param("offset", nn.initializers.zeros, (self.width,))
        _, h, w, c = x.shape

        def activate(parts: list[Array], mean: Array, variance: Array) -> Array:
            slope = scale * jax.lax.rsqrt(variance + EPSILON)
            # Of four numbers on one line the largest is that of the largest, or the smallest: so only it is scaled.
            best = parts[0] if self.strided else pool(Phases(*(part[:, : h // 2, : w // 2] for part in parts)), slope)
            return nn.relu(best * slope + (offset - mean * slope))

        def by_rows(x: Array) -> Array:
            parts = convolve(x, kernel, self.strided)
            return activate(parts, *row_moments(parts))

        if self.norm == "layer":
            return in_row_blocks(by_rows, x)
        if ready is not None or (
            not self.strided and c <= FEW_CHANNELS and h % 2 == w % 2 == 0
        ):  # known before the outputs
            found = ready["moments"] if ready is not None else output_moments(x, kernel, counted)
            x = in_row_blocks(lambda x: activate(convolve(x, kernel, self.strided), *found), x)
        else:
            parts = in_row_blocks(lambda x: convolve(x, kernel, self.strided), x)
            found = moments(parts, counted)
            x = activate(parts, *found)
        if not self.is_initializing():
            self.sow(STATISTICS, "moments", found, reduce_fn=lambda _, new: new)
        return x


def convolve(x: Array, kernel: Array, strided: bool) -> list[Array]:
    """The outputs [N, T, T', D] of one convolution with x [N, H, W, C]: strided, or the phases without what is outside.

    An odd image ends within the last pixel of the odd phases.
    """
    if strided:
        return [strided_conv3x3(x, kernel)]
    _, h, w, _ = x.shape
    return [part[:, : (h + 1 - i // 2) // 2, : (w + 1 - i % 2) // 2] for i, part in enumerate(conv3x3(x, kernel))]


def moments(parts: list[Array], counted: Array) -> tuple[Array, Array]:
    """Mean and variance [D] over the rows that count and all pixels of parts [N, T, T', D]; without a row 0 and 1."""
    rows = counted[:, None, None, None]
    number = jnp.sum(counted) * sum(part[0, :, :, 0].size for part in parts)
    safe = jnp.maximum(number, 1e-6)
    mean = sum(jnp.sum(part * rows, (0, 1, 2)) for part in parts) / safe
    variance = sum(jnp.sum(jnp.square(part - mean) * rows, (0, 1, 2)) for part in parts) / safe
    return mean, jnp.where(number > 0, variance, 1.0)


def row_moments(parts: list[Array]) -> tuple[Array, Array]:
    """Mean and variance [N, 1, 1, 1] of each row over all its pixels and channels."""
    number = sum(part[0].size for part in parts)
    mean = sum(jnp.sum(part, (1, 2, 3), keepdims=True) for part in parts) / number
    return mean, sum(jnp.sum(jnp.square(part - mean), (1, 2, 3), keepdims=True) for part in parts) / number


class Classifier(nn.Module):
    """Logits [N, ways] from a body's embeddings, by a linear layer "head" that starts at 0.

    From 0 no class is preferred, whatever order an episode has its classes in: what an inner loop makes of permuted
    labels is the permuted logits.
    """

    body: nn.Module
    ways: int

    @nn.compact
    def __call__(self, x: Any) -> Array:
        return nn.Dense(self.ways, kernel_init=nn.initializers.zeros, name="head")(self.body(x))
