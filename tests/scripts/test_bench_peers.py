"""What PyTorch is given is our own work: the meta-gradient, worked out again from it in numpy; and the table's sums."""

import dataclasses

import numpy as np
import optax
import pytest
from helpers import call, random_table

from metarec_jax.data.table import Features
from scripts import bench_peers

SMALL = ["bench_peers.py", "--batch=3", "--support=4", "--query=5", "--inner_steps=2"]


def small_table():
    """Ratings, with side features that are small enough for the inner rate."""
    table = random_table(0)
    return dataclasses.replace(
        table,
        item_features=Features(("number",), table.item_features.values / 20),
        user_features=Features(("number",), table.user_features.values / 30),
    )


WORKS = {
    "recommendation": lambda options: bench_peers.recommendation(small_table(), options),
    "sinusoid": bench_peers.sinusoid,
}


def forward(weights, task, settings):
    """(outputs [N], inputs of each layer by its name, which ReLUs are open)."""
    hidden, inputs, is_open, prefix = task.get("x"), {}, {}, ""
    if "id" in task:
        prefix = "encoder/"
        sides = [side for side in ("content", "context") if side in task]
        inputs |= {f"encoder/{side}": task[side] for side in sides}
        parts = [weights["encoder/id_table/table"][task["id"]]]
        hidden = np.concatenate([*parts, *(dense(weights, f"encoder/{side}", task[side]) for side in sides)], -1)
    for name in (f"{prefix}layer_0", f"{prefix}layer_1"):
        inputs[name] = hidden
        before = dense(weights, name, hidden)
        is_open[name], hidden = before > 0, np.maximum(before, 0)
    inputs["head"] = hidden
    outputs = dense(weights, "head", hidden)[:, 0]
    if "id" in task:
        outputs = outputs + weights["id_bias/table"][task["id"], 0]
    return outputs, inputs, is_open


def dense(weights, name, x):
    return x @ weights[f"{name}/kernel"].T + weights[f"{name}/bias"]


def moved(weights, task, settings):
    """The weights after one step on a support, by hand-written back-propagation."""
    outputs, inputs, is_open = forward(weights, task, settings)
    slope = 2 * (outputs - task["y"]) * task["mask"] / (task["mask"].sum() + settings["prior_count"])
    slopes = {"head": slope[:, None]}
    last, first = sorted(is_open, reverse=True)
    slopes[last] = slopes["head"] @ weights["head/kernel"] * is_open[last]
    slopes[first] = slopes[last] @ weights[f"{last}/kernel"] * is_open[first]
    if "id" in task:
        below, at = slopes[first] @ weights[f"{first}/kernel"], 32  # after the id's numbers come 32 a side
        for side in (name for name in ("content", "context") if name in task):
            slopes[f"encoder/{side}"], at = below[:, at : at + 32], at + 32
    new = dict(weights)
    for name, own in slopes.items():
        new[f"{name}/kernel"] = weights[f"{name}/kernel"] - settings["inner_lr"] * own.T @ inputs[name]
        new[f"{name}/bias"] = weights[f"{name}/bias"] - settings["inner_lr"] * own.sum(0)
    return new


def mean_query_loss(given, weights):
    """Of the first batch that PyTorch is given, in float64."""
    settings = {name: float(part) for name, part in given.items() if part.ndim == 0}
    total, number = 0.0, given["query/y"].shape[1]
    for task in range(number):
        support, query = (
            {key.split("/")[1]: part[0, task] for key, part in given.items() if key.startswith(f"{name}/")}
            for name in ("support", "query")
        )
        own = weights
        for _ in range(int(settings["inner_steps"])):
            own = moved(own, support, settings)
        error = (forward(own, query, settings)[0] - query["y"]) ** 2 * query["mask"]
        total += error.sum() / query["mask"].sum() / number
    return total


@pytest.mark.parametrize("name", WORKS)
def test_what_pytorch_is_given_has_our_meta_gradient(name):
    """Along our gradient, numpy's mean loss of the first batch rises by its norm."""
    job = bench_peers.Job(WORKS[name](bench_peers.main.options(SMALL)), length=1, inner_steps=2)
    given = {
        key: np.asarray(part, np.float64 if part.dtype == np.float32 else None) for key, part in job.for_torch().items()
    }
    weights = {key.removeprefix("weights/"): part for key, part in given.items() if key.startswith("weights/")}
    gradient = job.gradient()
    norm, flat = float(optax.tree.norm(gradient)), bench_peers.as_torch(gradient)
    losses = []
    for sign in (1, -1):
        there = {key: part + sign * 1e-5 / norm * flat[key].astype(np.float64) for key, part in weights.items()}
        losses.append(mean_query_loss(given, there))
    np.testing.assert_allclose((losses[0] - losses[1]) / 2e-5, norm, rtol=1e-4)
    assert norm > 0.1


def test_rows_are_medians_and_ratios_to_ours():
    ours = [(0.002, 0.003), (0.001, 0.002), (0.004, 0.005)]
    times = {"here": ours, "maml_loop": [(0.1, 0.2)] * 3}
    ours, loop = bench_peers.rows_of("sinusoid", 25, times, {"here": 2.0, "maml_loop": 2.1}, {"here": 3.0})
    assert (ours["step_ms"], ours["ratio"], ours["norm_difference"], ours["compile_seconds"]) == (2.0, 1.0, 0.0, 3.0)
    assert ours["spread"] == pytest.approx(0.375)  # quartiles 1.5 and 3 ms
    assert (loop["tasks_per_second"], loop["ratio"]) == (pytest.approx(250), pytest.approx(50))
    assert (loop["cpu_ms"], loop["cpu_ratio"]) == (pytest.approx(200), pytest.approx(200 / 3))
    assert loop["norm_difference"] == pytest.approx(0.05)
    assert loop["compile_seconds"] is None
    (panel,) = bench_peers.figure_of([ours, loop]).axes
    assert panel.get_xscale() == "log"
    assert [bar.get_width() for bar in panel.patches] == [loop["tasks_per_second"], ours["tasks_per_second"]]


@pytest.mark.parametrize("flag", ["--jobs=chess", "--peers=jax", "--batch=0", "--rounds=many", "stray"])
def test_bad_flags_are_one_line(flag):
    with pytest.raises(SystemExit) as ended:
        call(bench_peers, flag)
    message = str(ended.value)
    assert message.startswith("error: ") and "\n" not in message
