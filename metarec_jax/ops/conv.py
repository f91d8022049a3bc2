"""Convolutions and pooling for small images, from a few operations whose gradients of any order use the same few.

Unless there are few channels or pixels, a 3x3 convolution is Winograd's F(2x2, 3x3) (Lavin and Gray 2016,
arXiv:1509.09308): the input's overlapping 4x4 tiles and the kernel are transformed, multiplied as 16 matrix products
over the channels, and transformed back to 2x2 outputs a tile. Everything but the products is a sum of whole arrays, so
reverse mode gives matrix products again and never another kind of convolution. XLA:CPU is slow at those: a weight
gradient that is itself differentiated inside a scan took ten times as long, and separate weights for every task
(`vmap`) make a grouped convolution at a quarter of the speed. Matrix products stay matrix products under both.

An image of H x W is kept as its four `Phases`, the pixels of even and odd rows and columns. The 2x2 outputs of a tile
are one pixel of each phase, and so are the 2x2 inputs of a max-pool. `split` and `join` convert between the two forms.

Silent trap: on CPU, max-pool as reshape and `jnp.max` after a normalisation can give wrong gradients under jit, because
the backward pass compares recomputed values with the maximum. `pool` saves a code of the phase that it chose.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metarec_jax.types import Array

FEW_CHANNELS = 4  # up to so many input channels Winograd's matrix products would be too thin
FEW_TILES = 100  # up to so many tiles Winograd's many small operations take longer than the products they save
BLOCK_TILES = 1500  # tiles of a block of rows: with 64 channels their intermediate arrays fit a core's caches


class Phases(NamedTuple):
    """The pixels of an image by parity of row and column, [N, T, T', C] each: (2 t, 2 t'), (2 t, 2 t' + 1),
    (2 t + 1, 2 t') and (2 t + 1, 2 t' + 1)."""

    even_even: Array
    even_odd: Array
    odd_even: Array
    odd_odd: Array


@jax.custom_vjp
def split(x: Array) -> Phases:
    """The phases [N, H/2, W/2, C] of x [N, H, W, C], H and W even. Its derivative is `join`, whose is `split`."""
    n, h, w, c = x.shape
    pairs = x.reshape(n, h // 2, 2, w // 2, 2, c)
    return Phases(*(pairs[:, :, i, :, j] for i in (0, 1) for j in (0, 1)))


@jax.custom_vjp
def join(phases: Phases) -> Array:
    """x [N, H, W, C] of its phases."""
    n, t, u, c = phases.even_even.shape
    # Without the barrier XLA would fuse the interleaving with the computation of the phases, element by element.
    ee, eo, oe, oo = jax.lax.optimization_barrier(phases)
    rows = [jnp.stack([ee, eo], 3), jnp.stack([oe, oo], 3)]
    return jnp.stack(rows, 2).reshape(n, 2 * t, 2 * u, c)


split.defvjp(lambda x: (split(x), None), lambda _, g: (join(g),))
join.defvjp(lambda phases: (join(phases), None), lambda _, g: (split(g),))


def conv3x3(x: Array, kernel: Array) -> Phases:
    """Convolution of x [N, H, W, C] with kernel [3, 3, C, D], stride 1, zeros around x (SAME): the output's phases.

    T = (H + 1) // 2; for an odd H the last row of the odd phases is outside of the image, and W likewise.
    """
    n, h, w, c = x.shape
    if c <= FEW_CHANNELS:
        flat = _windows(_tiles(x))
        return Phases(*(_product(flat, _placed(kernel, i, j)) for i in (0, 1) for j in (0, 1)))
    few = n * ((h + 1) // 2) * ((w + 1) // 2) <= FEW_TILES
    return split(_by_taps(x, kernel)) if few else _by_tiles(_tiles(x), _kernel_transform(kernel))


def _by_tiles(pixel: list[list[Array]], weights: list[list[Array]]) -> Phases:
    """Winograd's algorithm, from `_tiles` and `_kernel_transform`."""
    rows = [_input_transform([pixel[i][j] for i in range(4)]) for j in range(4)]  # [j][i]
    tiles = [_input_transform([rows[j][i] for j in range(4)]) for i in range(4)]
    products = [[_product(tiles[i][j], weights[i][j]) for j in range(4)] for i in range(4)]
    rows = [_output_transform([products[i][j] for i in range(4)]) for j in range(4)]
    return Phases(*(phase for i in (0, 1) for phase in _output_transform([rows[j][i] for j in range(4)])))


def _by_taps(x: Array, kernel: Array) -> Array:
    """The outputs [N, 2 T, 2 U, D], with the nine taps side by side in one matrix product."""
    n, h, w, _ = x.shape
    even_h, even_w = h + h % 2, w + w % 2
    padded = jnp.pad(x, ((0, 0), (1, even_h - h + 1), (1, even_w - w + 1), (0, 0)))
    taps = [padded[:, i : i + even_h, j : j + even_w] for i in range(3) for j in range(3)]
    return _product(jnp.concatenate(taps, -1), kernel.reshape(-1, kernel.shape[-1]))


def _tiles(x: Array) -> list[list[Array]]:
    """Pixel (i, j) of the 4 x 4 tiles that begin at (2 t - 1, 2 t' - 1): [N, T, T', C] for each i and j."""
    _, h, w, _ = x.shape
    t, u = (h + 1) // 2, (w + 1) // 2
    padded = split(jnp.pad(x, ((0, 0), (1, 2 * t + 1 - h), (1, 2 * u + 1 - w), (0, 0))))
    return [
        [padded[2 * (i % 2) + j % 2][:, i // 2 : i // 2 + t, j // 2 : j // 2 + u] for j in range(4)] for i in range(4)
    ]


def _windows(pixel: list[list[Array]]) -> Array:
    """The tiles as vectors [N, T, T', 16 C]."""
    return jnp.concatenate([pixels for row in pixel for pixels in row], -1)


def _placed(kernel: Array, i: int, j: int) -> Array:
    """The kernel within a 4 x 4 tile, i rows and j columns from its corner: [16 C, D]."""
    return jnp.pad(kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))).reshape(-1, kernel.shape[-1])


def in_row_blocks(function: Callable[[Array], Any], x: Array) -> Any:
    """function(x) in blocks of rows; x is [N, H, W, C] and the result a pytree of [N, ...], each row from one row of x.

    On a CPU the sixteen intermediate arrays of a convolution then stay in the cache, which halves the time, and the
    backward pass recomputes them. On other devices function(x) is computed at once. The block size is the largest
    divisor of N of at least 3 rows and `BLOCK_TILES` tiles at most; without one, or if all fits, there is one block.
    """
    n, h, w, _ = x.shape
    largest = max(BLOCK_TILES // (((h + 1) // 2) * ((w + 1) // 2)), 1)
    size = max((size for size in range(3, largest + 1) if n % size == 0), default=n)
    if n <= largest or size == n or jax.default_backend() != "cpu":
        return function(x)
    outputs = jax.lax.map(jax.checkpoint(function), x.reshape(n // size, size, *x.shape[1:]))
    return jax.tree.map(lambda leaf: leaf.reshape(n, *leaf.shape[2:]), outputs)


def output_moments(x: Array, kernel: Array, weights: Array) -> tuple[Array, Array]:
    """Mean and variance [D] of all outputs of `conv3x3`, from the moments of the input's tiles; cheap for small C.

    Outputs are linear in the tiles: if the tiles have mean m and covariance S, the outputs of phase p have mean k_p' m
    and variance k_p' S k_p. So the outputs, which are largest in the first layer, are not read for it, and gradients
    pass only through the outputs that a max-pool chose.

    Args:
      x: [N, H, W, C], H and W even.
      kernel: [3, 3, C, D].
      weights: [N] weights of the rows; 0 leaves a row out.
    """
    flat = _windows(_tiles(x))
    n, t, u, size = flat.shape
    normalised = weights / (jnp.maximum(jnp.sum(weights), 1e-6) * t * u)
    centre = jnp.einsum("ntus,n->s", flat, normalised)
    centred = (flat - centre) * jnp.sqrt(normalised)[:, None, None, None]
    covariance = jnp.matmul(centred.reshape(-1, size).T, centred.reshape(-1, size), precision="highest")
    phases = [_placed(kernel, i, j) for i in (0, 1) for j in (0, 1)]
    means = jnp.stack([centre @ phase for phase in phases])
    mean = jnp.mean(means, 0)
    within = sum(jnp.sum(phase * (covariance @ phase), 0) for phase in phases) / 4
    return mean, within + jnp.mean(jnp.square(means - mean), 0)


def _input_transform(d: list[Array]) -> list[Array]:
    """B' d of the paper's section 4.1."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _output_transform(m: list[Array]) -> list[Array]:
    """A' m."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _kernel_transform(kernel: Array) -> list[list[Array]]:
    """G g G', a [C, D] for each of the 4 x 4."""

    def one_side(g: list[Array]) -> list[Array]:
        outer, inner = 0.5 * (g[0] + g[2]), 0.5 * g[1]
        return [g[0], outer + inner, outer - inner, g[2]]

    rows = one_side([kernel[i] for i in range(3)])
    return [one_side([row[j] for j in range(3)]) for row in rows]


def _product(x: Array, weights: Array) -> Array:
    """x [..., C] times weights [C, D], as one matrix product."""
    return (x.reshape(-1, x.shape[-1]) @ weights).reshape(*x.shape[:-1], weights.shape[-1])


def strided_conv3x3(x: Array, kernel: Array) -> Array:
    """Convolution of x [N, H, W, C] with kernel [3, 3, C, D], stride 2, SAME padding.

    The result is [N, (H + 1) // 2, (W + 1) // 2, D]. With stride 2 the nine taps are slices of the phases; side by
    side, they make the convolution one matrix product.
    """
    n, h, w, _ = x.shape
    t, u = (h + 1) // 2, (w + 1) // 2
    before = [size % 2 for size in (h, w)]  # an odd size has one row of zeros at either end, an even one after the last
    pads = [(lead, 2 * (size + 1) - full - lead) for lead, size, full in zip(before, (t, u), (h, w), strict=True)]
    padded = split(jnp.pad(x, ((0, 0), *pads, (0, 0))))
    taps = [
        padded[2 * (i % 2) + j % 2][:, i // 2 : i // 2 + t, j // 2 : j // 2 + u] for i in range(3) for j in range(3)
    ]
    return _product(jnp.concatenate(taps, -1), kernel.reshape(-1, kernel.shape[-1]))


def pool(phases: Phases, slope: Array) -> Array:
    """Max-pool of slope * value: at each pixel the value, among the four phases [N, T, T', C], whose slope * value is
    the largest; the first of equal ones.

    Args:
      phases: the values.
      slope: the factor of the normalisation that follows, of the shape of a phase or broadcast to it. Its sign must be
        the same for the four values of a pixel.
    """
    ee, eo, oe, oo = (phase * jnp.sign(jax.lax.stop_gradient(slope)) for phase in jax.lax.stop_gradient(phases))
    top, bottom = jnp.where(ee >= eo, 0, 1), jnp.where(oe >= oo, 2, 3)
    code = jnp.where(jnp.maximum(ee, eo) >= jnp.maximum(oe, oo), top, bottom).astype(jnp.int8)
    return select(phases, code)


@jax.custom_vjp
def select(phases: Phases, code: Array) -> Array:
    """At each pixel the phase of number `code` [N, T, T', C], 0..3. Its derivative is `scatter`, whose is `select`."""
    ee, eo, oe, oo = phases
    return jnp.where(code < 2, jnp.where(code == 0, ee, eo), jnp.where(code == 2, oe, oo))


@jax.custom_vjp
def scatter(x: Array, code: Array) -> Phases:
    """The phases that are x [N, T, T', C] where `code` is their number and 0 elsewhere."""
    return Phases(*(jnp.where(code == phase, x, 0.0) for phase in range(4)))


select.defvjp(lambda phases, code: (select(phases, code), code), lambda code, g: (scatter(g, code), None))
scatter.defvjp(lambda x, code: (scatter(x, code), code), lambda code, g: (select(g, code), None))
