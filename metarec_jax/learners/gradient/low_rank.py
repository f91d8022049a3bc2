"""Inner loop in low-rank form: gradient steps of dense layers without a changed kernel for every task.

The gradient of a support loss with respect to a kernel [I, O] is X^T D, with the layer's inputs X [S, I] and the
gradients D [S, O] of the loss with respect to its outputs. The gradient with respect to the bias is the sum of D over
its rows. So after gradient steps at rate a, an input h [N, I] is mapped to

    h W' + b' = h W + b - a (h X^T + 1) D,

where X and D have S rows for every step. W and b are shared by all tasks, so that all tasks of a batch are one large
product, forward and backward. With a kernel for each task there would be many small products and [T, I, O] numbers to
write. Only the rounding differs. The derivative passes through X and D, so the meta-gradient is exact to second order.

Where X^T D itself is cheaper than its factors (a head of one output), it is computed: (h X^T) D or h (X^T D), whichever
takes fewer multiplications.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from metarec_jax.objectives import Objective
from metarec_jax.params import Path
from metarec_jax.types import Array, Examples, Params

Shape = jax.ShapeDtypeStruct
MAX_STEPS = 5  # each step is compiled separately and adds rows to the factors


class Factors(NamedTuple):
    """The change of a layer by the steps so far: R rows, S for each step."""

    inputs: Array  # [R, I]
    slopes: Array  # [R, O] gradients with respect to the outputs, times minus the rate


class LowRankChange(NamedTuple):
    """Weights after some steps: the shared ones, and how a task's own differ from them."""

    params: Params
    factors: dict[Path, Factors]  # by the path of the layer; none before the first step


def moved_layers(net: nn.Module, params: Params, x: Any, shared: Callable[[Path], bool]) -> dict[Path, Shape] | None:
    """The dense layers of a network that an inner loop moves, and the shapes of their outputs for x of [N, ...].

    None where the low-rank form does not apply: the inner loop moves another kind of parameter or a part of a layer, or
    a layer is called twice or not on [N, I].
    """
    free = {path for path in traverse_util.flatten_dict(params) if not shared(path)}
    layers: dict[Path, Shape] = {}
    plain = True

    def note(layer: nn.Dense, h: Array, y: Array) -> Array:
        nonlocal plain
        own = {(*layer.path, name) for name in ("kernel", "bias")}
        if own & free:
            plain &= own <= free and h.ndim == 2 and layer.path not in layers
            layers[layer.path] = Shape(y.shape, y.dtype)
        return y

    def run(params: Params) -> Any:
        with _after_dense(note):
            return net.apply({"params": params}, x)

    jax.eval_shape(run, params)
    return layers if plain and len(free) == 2 * len(layers) > 0 else None


def descend(
    net: nn.Module,
    objective: Objective,
    params: Params,
    support: Examples,
    layers: dict[Path, Shape],
    *,
    lr: float,
    steps: int,
    first_order: bool = False,
    prior_count: float = 0.0,
) -> LowRankChange:
    """`steps` steps of gradient descent on the support loss, of `layers` as returned by `moved_layers`.

    The other arguments are those of `maml`.
    """

    def loss(probes: dict[Path, Array], moved: LowRankChange) -> tuple[Array, dict[Path, Array]]:
        """The gradient with respect to a probe, which is added to a layer's outputs, is that of the outputs."""
        inputs: dict[Path, Array] = {}

        def probe(layer: nn.Dense, h: Array, y: Array) -> Array:
            if layer.path in probes:
                inputs[layer.path] = h
                y = y + probes[layer.path]
            return y

        with _after_dense(probe):
            outputs = predict(net, moved, support.x)
        return objective(outputs, support, prior_count)[0], inputs

    probes = {path: jnp.zeros(shape.shape, shape.dtype) for path, shape in layers.items()}
    moved = LowRankChange(params, {})
    for _ in range(steps):
        slopes, inputs = jax.grad(loss, has_aux=True)(probes, moved)
        if first_order:
            slopes, inputs = jax.lax.stop_gradient((slopes, inputs))
        new = {path: Factors(inputs[path], -lr * slopes[path]) for path in layers}
        old = moved.factors or jax.tree.map(lambda leaf: leaf[:0], new)
        moved = LowRankChange(params, jax.tree.map(lambda *parts: jnp.concatenate(parts), old, new))
    return moved


def predict(net: nn.Module, moved: LowRankChange, x: Any) -> Any:
    """Outputs of the network with a task's own weights, for x of [N, ...]."""

    def own(layer: nn.Dense, h: Array, y: Array) -> Array:
        return y + _change(h, moved.factors[layer.path]) if layer.path in moved.factors else y

    with _after_dense(own):
        return net.apply({"params": moved.params}, x)


def _change(h: Array, factors: Factors) -> Array:
    """(h X^T + 1) D."""
    x, d = factors
    (n, i), (r, o) = h.shape, d.shape
    if n * r * (i + o) <= i * o * (n + r):
        return (h @ x.T + 1) @ d
    return h @ (x.T @ d) + d.sum(0)


@contextmanager
def _after_dense(change: Callable[[nn.Dense, Array, Array], Array]) -> Iterator[None]:
    """Inside this context, `change` of (layer, inputs, outputs) replaces the outputs of every dense layer."""

    def intercept(call: Callable, args: tuple, kwargs: dict[str, Any], context: Any) -> Any:
        outputs = call(*args, **kwargs)
        if context.method_name != "__call__" or type(context.module) is not nn.Dense:
            return outputs
        return change(context.module, args[0], outputs)

    with nn.intercept_methods(intercept):
        yield
