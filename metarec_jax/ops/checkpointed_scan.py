"""A long loop whose derivative needs memory that does not grow with the steps, and is exact: a few snapshots, and from
the nearest of them the steps that are needed once more.

The backward pass asks for the carry before the last step, then before the last but one, and so on. With s snapshots,
the start among them, moved to where they serve best, none of (s + r over s) steps is repeated more than r times
(Griewank and Walther 2000, algorithm 799, "revolve", doi:10.1145/347837.347846).

Easily got wrong:
- What a step does that does not depend on the carry is done once, before the loop (`known_first`). The rows of a table
  of ids, which all tasks share, would else be constants of every task's loop, and the derivative one of a table each.
- A loop of a number of steps that only the running program knows is none that JAX differentiates, hence the rule of our
  own. What it gives cannot be differentiated again, nor forwards.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

Carry = TypeVar("Carry")
Move = tuple[bool, int]  # a snapshot is made from the one before it and not left where it is; steps forward from there


@cache
def fewest(steps: int, snapshots: int) -> np.ndarray:
    """[snapshots + 1, steps + 1, 2] the fewest steps forward with which n are gone backward by s snapshots, and how far
    ahead the first of them then is (0: none is made)."""
    numbers = np.arange(steps + 1)
    found = np.zeros((snapshots + 1, steps + 1, 2), int)
    found[:, :, 0] = numbers * (numbers - 1) // 2  # every step again from the start
    for s in range(1, snapshots + 1):
        for n in range(2, steps + 1):
            ahead = numbers[1:n]
            costs = ahead + found[s - 1, n - ahead, 0] + found[s, ahead, 0]
            found[s, n] = costs.min(), ahead[costs.argmin()]
    return found


def plan(steps: int, snapshots: int) -> list[list[Move]]:
    """For each step, last to first, what becomes of each snapshot and of the carry before it, the last."""
    best = fewest(steps, snapshots)
    moves: list[list[Move]] = []

    def backward(begin: int, end: int, held: int, made: list[Move]) -> None:
        """Of the steps from `begin`, where snapshot `held` is (0 is the start), to `end`."""
        ahead = int(best[snapshots - held, end - begin, 1])
        if ahead:
            backward(begin + ahead, end, held + 1, [*made, (True, ahead)])
            backward(begin, begin + ahead, held, [])
            return
        for step in range(end - 1, begin - 1, -1):
            kept = [(False, 0)] * (held - len(made))
            moves.append([*kept, *made, *[(True, 0)] * (snapshots - held), (True, step - begin)])
            made = []

    if steps:
        backward(0, steps, 0, [])
    return moves


def known_first(function: Callable[[Carry], Any], example: Carry) -> tuple[Callable[..., Any], list[Any]]:
    """(function', known) with function'(carry, *known) = function(carry), where `known` is all that can be worked out
    without the carry. It is differentiable, and no other array that the function closes over is left in function'.

    Args:
      function: pure.
      example: a carry, for shapes.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(example)
    whole, late, early = closed.jaxpr, [], []
    depend = set(whole.invars)
    for equation in whole.eqns:
        depends = any(not isinstance(v, Literal) and v in depend for v in equation.invars)
        (late if depends else early).append(equation)
        depend.update(equation.outvars if depends else ())
    read = [v for equation in late for v in equation.invars] + list(whole.outvars)
    needed = [v for v in dict.fromkeys(v for v in read if not isinstance(v, Literal)) if v not in depend]
    known = jax.core.eval_jaxpr(whole.replace(eqns=early, outvars=needed), closed.consts, *jax.tree.leaves(example))
    rest, tree = whole.replace(eqns=late, constvars=needed), jax.tree.structure(shape)

    def of(carry: Carry, *known: Any) -> Any:
        return jax.tree.unflatten(tree, jax.core.eval_jaxpr(rest, known, *jax.tree.leaves(carry)))

    return of, known


def parted(leaves: list[Any]) -> tuple[list[Any], list[Any]]:
    """Those with respect to which there is a derivative, and the others; either has None in the other's places."""
    real = [jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) for leaf in leaves]
    others = [None if is_real else leaf for leaf, is_real in zip(leaves, real, strict=True)]
    return [leaf if is_real else None for leaf, is_real in zip(leaves, real, strict=True)], others


def joined(real: list[Any], other: list[Any]) -> list[Any]:
    """What `parted` has parted."""
    return [one if another is None else another for one, another in zip(real, other, strict=True)]


def no_slope(leaves: list[Any]) -> list[Any]:
    """The derivative with respect to whole numbers, as JAX wants it."""
    return jax.tree.map(lambda leaf: np.zeros(jnp.shape(leaf), jax.dtypes.float0), leaves)


def slope_through(once: Callable, carry: list[Any], known: list[Any], slope: list[Any]) -> tuple[list[Any], list[Any]]:
    """Derivatives with respect to the real parts of carry and known, from that with respect to the next carry."""
    (carry_real, carry_other), (known_real, known_other) = parted(carry), parted(known)

    def real(carry_real: list[Any], known_real: list[Any]) -> list[Any]:
        return parted(once(joined(carry_real, carry_other), *joined(known_real, known_other)))[0]

    return jax.vjp(real, carry_real, known_real)[1](slope)


def repeat(step: Callable[[Carry], Carry], start: Carry, steps: int, snapshots: int = 2) -> Carry:
    """`step` applied `steps` times, differentiable once and backwards, in memory that does not grow with the steps.

    Args:
      step: pure, from a carry to one of the same shapes; may close over arrays, and is differentiated in them too.
      start: the carry, any pytree.
      steps: how often, 0 or more.
      snapshots: carries that the backward pass keeps beside the start and the one that it has come to. More are faster:
        50 steps are 285, 180 and 144 steps forward again with 1, 2 and 3.

    Returns:
      The carry after the last step.
    """
    leaves, tree = jax.tree.flatten(start)
    once, known = known_first(lambda leaves: jax.tree.leaves(step(jax.tree.unflatten(tree, leaves))), leaves)
    moves = np.array(plan(steps, snapshots), int).reshape(steps, snapshots + 1, 2)

    def forward(carry: list[Any], number: Any, known: list[Any]) -> list[Any]:
        return jax.lax.fori_loop(0, number, lambda _, carry: once(carry, *known), carry)

    @jax.custom_vjp
    def run(start: list[Any], known: list[Any]) -> list[Any]:
        return forward(start, steps, known)

    def backward(saved: tuple[list[Any], list[Any]], slope: list[Any]) -> tuple[list[Any], list[Any]]:
        start, known = saved

        def one(state: tuple, move: jax.Array) -> tuple[tuple, None]:
            kept, slope, known_slope = state
            before, moved = start, []
            for snapshot, (earlier, number) in zip(kept, move, strict=True):
                before = jax.tree.map(lambda new, old, e=earlier: jnp.where(e, new, old), before, snapshot)
                before = forward(before, number, known)
                moved.append(before)
            slope, more = slope_through(once, before, known, slope)
            return (moved, slope, jax.tree.map(jnp.add, known_slope, more)), None

        nothing = jax.tree.map(jnp.zeros_like, parted(known)[0])
        state = ([start] * (snapshots + 1), parted(slope)[0], nothing)
        (_, slope, known_slope), _ = jax.lax.scan(one, state, moves)
        return joined(slope, no_slope(parted(start)[1])), joined(known_slope, no_slope(parted(known)[1]))

    run.defvjp(lambda start, known: (run(start, known), (start, known)), backward)
    return jax.tree.unflatten(tree, run(leaves, known))
