"""Convolutions beside XLA's own; gradients of first and second order, jitted, beside eager and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import slow_but

from metarec_jax.models.conv4 import EPSILON, Conv4, Layer, Rows, moments
from metarec_jax.ops.conv import conv3x3, in_row_blocks, join, output_moments, pool, split, strided_conv3x3


def draw(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def of_xla(x, kernel, stride: int):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
    )


SHAPES = [(4, 4, 1), (6, 4, 6), (5, 7, 6), (3, 3, 2), (7, 6, 5)]  # even and odd, few and many channels


@pytest.mark.parametrize("n", [2, 30])  # few tiles and many
@pytest.mark.parametrize(("h", "w", "c"), SHAPES)
def test_convolutions_equal_those_of_xla(n, h, w, c):
    x, kernel = draw(0, n, h, w, c), draw(1, 3, 3, c, 5)
    np.testing.assert_allclose(join(conv3x3(x, kernel))[:, :h, :w], of_xla(x, kernel, 1), atol=2e-5)
    np.testing.assert_allclose(strided_conv3x3(x, kernel), of_xla(x, kernel, 2), atol=2e-5)


def test_split_and_join_are_inverse_and_pool_takes_the_largest():
    x = draw(0, 2, 6, 4, 3)
    np.testing.assert_array_equal(join(split(x)), x)
    largest = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    np.testing.assert_array_equal(pool(split(x), jnp.ones(3)), largest)
    np.testing.assert_array_equal(-pool(split(-x), jnp.full(3, -0.5)), largest)


def test_of_equals_the_pool_takes_the_first():
    """Hand-worked: one window 1 3 / 3 0, so the gradient is that of the 3 in the first row alone."""
    x = jnp.array([[1.0, 3.0], [3.0, 0.0]])[None, :, :, None]
    slope = jax.grad(lambda x: 2.0 * pool(split(x), jnp.ones(1)).sum())(x)
    np.testing.assert_array_equal(slope[0, :, :, 0], [[0.0, 2.0], [0.0, 0.0]])


def test_moments_of_the_outputs_without_the_outputs():
    x, kernel, counted = draw(0, 3, 6, 4, 2) + 5.0, draw(1, 3, 3, 2, 4), jnp.array([1.0, 0.0, 1.0])
    for found, wanted in zip(
        output_moments(x, kernel, counted), moments(list(conv3x3(x, kernel)), counted), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_chunks_change_nothing():
    """32 images of 100 tiles each go 16 at a time; gradients of both arguments as without chunks."""
    x, kernel = draw(0, 32, 20, 20, 1), draw(1, 3, 3, 1, 2)

    def chunked(x, kernel):
        return in_row_blocks(lambda x: pool(conv3x3(x, kernel), jnp.ones(2)), x)

    def whole(x, kernel):
        return pool(conv3x3(x, kernel), jnp.ones(2))

    both = []
    for function in (chunked, whole):
        both.append(
            jax.jit(jax.value_and_grad(lambda *args, f=function: jnp.sum(jnp.sin(f(*args))), (0, 1)))(x, kernel)
        )
    assert "scan" in str(jax.make_jaxpr(chunked)(x, kernel))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *both)


LAYERS = {
    "few_channels": (Layer(3, False, "batch"), (4, 6, 6, 1)),
    "odd": (Layer(3, False, "batch"), (4, 5, 5, 5)),
    "many_tiles": (Layer(3, False, "batch"), (4, 11, 10, 5)),
    "strided": (Layer(3, True, "batch"), (4, 6, 5, 5)),
}


@pytest.mark.parametrize("name", slow_but(["few_channels", "strided"], LAYERS))
def test_gradients_of_first_and_second_order(name):
    """Of a loss after one inner step, so that gradients of gradients count; with one row of padding."""
    layer, shape = LAYERS[name]
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, target = jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=(shape[0], 3)))
        counted = jnp.array([1.0, 1.0, 0.0, 1.0], x.dtype)
        params = jax.jit(layer.init)(jax.random.key(0), x, counted, None)["params"]
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf + 0.3 * rng.normal(size=leaf.shape)), params)

        def loss(params, x):
            return jnp.mean(jnp.square(layer.apply({"params": params}, x, counted, None).mean((1, 2)) - target))

        def after_a_step(params, x):
            moved = jax.tree.map(lambda leaf, slope: leaf - 0.5 * slope, params, jax.grad(loss)(params, x))
            return loss(moved, x[::-1])

        for function in (loss, after_a_step):
            gradient = jax.grad(function, argnums=(0, 1))
            jitted, quick = jax.jit(gradient)(params, x), jax.jit(function)
            if function is loss or name == "strided":  # operation by operation the others take long to compile
                eager = gradient(params, x)
                jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), jitted, eager)
            direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), (params, x))
            ends = [
                quick(*jax.tree.map(lambda leaf, d, sign=sign: leaf + sign * 1e-6 * d, (params, x), direction))
                for sign in (1, -1)
            ]
            along = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (jitted, direction)), strict=True))
            np.testing.assert_allclose(along, (ends[0] - ends[1]) / 2e-6, rtol=1e-5)


@pytest.mark.parametrize(("h", "w", "c"), [(6, 6, 1), (5, 7, 5), (22, 20, 5)])
def test_a_layer_is_convolution_normalisation_relu_and_pool_in_that_order(h, w, c):
    """By XLA's own, with scales of either sign and 0: of outputs that a scale turns around the smallest is taken."""
    x, kernel = draw(0, 4, h, w, c), draw(1, 3, 3, c, 3)
    scale, offset = jnp.array([1.5, -0.5, 0.0]), jnp.array([0.1, 0.2, 0.3])
    out = of_xla(x, kernel, 1)
    scaled = scale * (out - out.mean((0, 1, 2))) / jnp.sqrt(out.var((0, 1, 2)) + EPSILON) + offset
    wanted = jax.lax.reduce_window(jax.nn.relu(scaled), 0.0, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    params = {"params": {"kernel": kernel, "scale": scale, "offset": offset}}
    np.testing.assert_allclose(Layer(3, False, "batch").apply(params, x, jnp.ones(4), None), wanted, atol=2e-5)


NETS = {"pooled": Conv4(width=3), "strided": Conv4(width=3, strided=True), "layer": Conv4(width=3, norm="layer")}


def embed(net: Conv4, x):
    """From parameters whose offsets are not 0."""
    params = jax.jit(net.init)(jax.random.key(0), draw(0, 4, 28, 28, 1))
    params = jax.tree.map(lambda leaf: leaf + 0.1 * draw(3, *leaf.shape), params)
    return jax.jit(net.apply)(params, x)


@pytest.mark.parametrize("name", NETS)
def test_28_pixels_become_width_numbers_and_padding_is_inert(name):
    x = draw(1, 4, 28, 28, 1)
    found = embed(NETS[name], Rows(x.at[2:].set(9.0), jnp.array([1.0, 1.0, 0.0, 0.0])))
    assert found.shape == (4, 3)
    np.testing.assert_allclose(found[:2], embed(NETS[name], x[:2]), atol=1e-4)
    assert np.abs(found[:2]).max() > 0.01


def test_like_other_rows_is_one_by_one():
    """Normalised like a support, a query does not depend on the queries beside it; by their own rows it does."""
    net, x, support = NETS["pooled"], draw(1, 3, 28, 28, 1), Rows(draw(2, 3, 28, 28, 1), jnp.array([1.0, 1.0, 0.0]))
    microbatch = embed(net, Rows(x, jnp.ones(3), support))
    alone = embed(net, Rows(x[:1], jnp.ones(1), support))
    np.testing.assert_allclose(microbatch[:1], alone, atol=1e-4)
    assert np.abs(embed(net, x)[:1] - embed(net, x[:1])).max() > 1e-3
