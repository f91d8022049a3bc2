"""The four-layer convolutional network of few-shot image classification, with explicit normalisation statistics.

`Conv4` with max-pools: Vinyals et al. 2016 (arXiv:1606.04080) and Snell et al. 2017, 28x28 -> 14 -> 7 -> 3 -> 1.
`Conv4(strided=True)`: Finn et al. 2017 (arXiv:1703.03400, section 5.2), stride 2 instead of pooling, and the mean over
the final 2x2 pixels. A layer is a convolution without a bias, normalisation and ReLU.

Easily got wrong: which rows give the statistics of batch normalisation. If they are the rows of the input, as in MAML's
code, the prediction for one query depends on the other queries in the batch: the method is transductive. `Rows.like`
gives other rows, or precomputed statistics, instead; `learners.wrappers.normalised` sets it. Rows of mask 0 never
count.
"""

import math
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarec_jax.ops.conv import FEW_CHANNELS, Phases, conv3x3, in_row_blocks, output_moments, pool, strided_conv3x3
from metarec_jax.types import Array

EPSILON = 1e-3  # added to variances, as in MAML's code: for five images a channel of the last layer may be constant
STATISTICS = "statistics"  # the Flax collection that layers write their statistics to, where it is mutable


class Rows(NamedTuple):
    """Images, a mask, and the source of the statistics that normalise them."""

    x: Array  # [N, H, W, C]
    mask: Array  # [N] 1 real, 0 padding
    like: Any = None  # None: these rows; `Rows`: those rows; else a collection STATISTICS that the network wrote


def as_rows(x: Array | Rows) -> Rows:
    """`Rows` unchanged; an array [N, H, W, C] as rows that are all real."""
    return x if isinstance(x, Rows) else Rows(x, jnp.ones(len(x), x.dtype))


class Conv4(nn.Module):
    """Images [N, H, W, C], or `Rows` of them, -> embeddings [N, D]; D = width for 28 x 28 images."""

    width: int = 64
    layers: int = 4
    strided: bool = False
    norm: Literal["batch", "layer"] = "batch"  # layer: each row by its own mean and variance

    @nn.compact
    def __call__(self, x: Array | Rows) -> Array:
        rows = as_rows(x)
        x, counted, num_like, ready = rows.x, rows.mask, 0, {}
        if isinstance(rows.like, Rows):  # in one batch, so that both pass through the same layers
            num_like = len(rows.like.x)
            x = jnp.concatenate([rows.like.x, x])
            counted = jnp.concatenate([rows.like.mask, jnp.zeros_like(counted)])
        elif rows.like is not None:
            ready = rows.like
        for layer in range(self.layers):
            name = f"layer_{layer}"
            x = Layer(self.width, self.strided, self.norm, name=name)(x, counted, ready.get(name))
        x = x[num_like:]
        return (
            jnp.mean(x, (1, 2)) if self.strided else x.reshape(len(x), math.prod(x.shape[1:]))
        )  # -1 cannot be read off no images


class Layer(nn.Module):
    """Convolution, normalisation, ReLU and, unless `strided`, max-pool: [N, H, W, C] -> [N, H // 2, W // 2, width].

    The result is that of this order, although the pool is computed before the normalisation, see `activate`.
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

        def activate(outputs: list[Array], mean: Array, variance: Array) -> Array:
            slope = scale * jax.lax.rsqrt(variance + EPSILON)
            # The normalisation is monotone, so the pool commutes with it, and only one value in four is normalised.
            best = (
                outputs[0]
                if self.strided
                else pool(Phases(*(output[:, : h // 2, : w // 2] for output in outputs)), slope)
            )
            return nn.relu(best * slope + (offset - mean * slope))

        def by_rows(x: Array) -> Array:
            outputs = convolve(x, kernel, self.strided)
            return activate(outputs, *row_moments(outputs))

        if self.norm == "layer":
            return in_row_blocks(by_rows, x)
        if ready is not None or (
            not self.strided and c <= FEW_CHANNELS and h % 2 == w % 2 == 0
        ):  # known before the outputs
            mean_and_variance = ready["moments"] if ready is not None else output_moments(x, kernel, counted)
            x = in_row_blocks(lambda x: activate(convolve(x, kernel, self.strided), *mean_and_variance), x)
        else:
            outputs = in_row_blocks(lambda x: convolve(x, kernel, self.strided), x)
            mean_and_variance = moments(outputs, counted)
            x = activate(outputs, *mean_and_variance)
        if not self.is_initializing():
            self.sow(STATISTICS, "moments", mean_and_variance, reduce_fn=lambda _, new: new)
        return x


def convolve(x: Array, kernel: Array, strided: bool) -> list[Array]:
    """The outputs [N, T, T', D] of one convolution of x [N, H, W, C]: one array if `strided`, else the four phases.

    The last row or column of an odd phase is cut off where it is outside of an image of odd size.
    """
    if strided:
        return [strided_conv3x3(x, kernel)]
    _, h, w, _ = x.shape
    return [phase[:, : (h + 1 - i // 2) // 2, : (w + 1 - i % 2) // 2] for i, phase in enumerate(conv3x3(x, kernel))]


def moments(outputs: list[Array], counted: Array) -> tuple[Array, Array]:
    """Mean and variance [D] of the outputs [N, T, T', D] over all pixels of rows that count; 0 and 1 without any."""
    rows = counted[:, None, None, None]
    number = jnp.sum(counted) * sum(math.prod(output.shape[1:3]) for output in outputs)
    safe = jnp.maximum(number, 1e-6)
    mean = sum(jnp.sum(output * rows, (0, 1, 2)) for output in outputs) / safe
    variance = sum(jnp.sum(jnp.square(output - mean) * rows, (0, 1, 2)) for output in outputs) / safe
    return mean, jnp.where(number > 0, variance, 1.0)


def row_moments(outputs: list[Array]) -> tuple[Array, Array]:
    """Mean and variance [N, 1, 1, 1] of each row over all its pixels and channels."""
    number = sum(math.prod(output.shape[1:]) for output in outputs)
    mean = sum(jnp.sum(output, (1, 2, 3), keepdims=True) for output in outputs) / number
    return mean, sum(jnp.sum(jnp.square(output - mean), (1, 2, 3), keepdims=True) for output in outputs) / number


class Classifier(nn.Module):
    """Logits [N, ways] from a body's embeddings, by a linear layer "head" that starts at 0.

    Starting at 0 makes the inner loop equivariant: an episode with permuted labels gives permuted logits.
    """

    body: nn.Module
    ways: int

    @nn.compact
    def __call__(self, x: Any) -> Array:
        return nn.Dense(self.ways, kernel_init=nn.initializers.zeros, name="head")(self.body(x))
