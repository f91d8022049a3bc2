"""The work of `bench_peers.py` in plain PyTorch: started by it, with an interpreter that has torch.

    python torch_maml.py WORK.npz THREADS

It reads the name of a job and a way to do it a line, "recommendation maml_vmap", takes training steps for about half a
second, and answers with a line of JSON: the seconds of one step, those of its threads on a processor, those of the
first gradient, in which things are compiled, and the norm of that gradient, by which the caller knows that the work was
the same.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

BOUT = 0.5  # seconds of steps an answer

Named = dict[str, torch.Tensor]  # weights by path, as Flax calls them; or the columns of a task's examples
Slope = Callable[[Callable[[Named], torch.Tensor], Named], Named]  # (function, where) -> its gradient


def dense(weights: Named, name: str, x: torch.Tensor) -> torch.Tensor:
    """[N, D] -> [N, E] by the layer called `name`."""
    return F.linear(x, weights[f"{name}/kernel"], weights[f"{name}/bias"])


def layers(weights: Named, prefix: str, x: torch.Tensor) -> torch.Tensor:
    """Through two ReLU layers."""
    for layer in range(2):
        x = F.relu(dense(weights, f"{prefix}layer_{layer}", x))
    return x


def rating(weights: Named, task: Named) -> torch.Tensor:
    """The network of a recommendation task: predicted ratings [N]."""
    parts = [F.embedding(task["id"], weights["encoder/id_table/table"])]
    parts += [dense(weights, f"encoder/{side}", task[side]) for side in ("content", "context") if side in task]
    hidden = layers(weights, "encoder/", torch.cat(parts, -1))
    bias = F.embedding(task["id"], weights["id_bias/table"])
    return (dense(weights, "head", hidden) + bias)[:, 0]


def regression(weights: Named, task: Named) -> torch.Tensor:
    """The network of a sinusoid: y [N]."""
    return dense(weights, "head", layers(weights, "", task["x"]))[:, 0]


NETS = {"recommendation": rating, "sinusoid": regression}


class Job:
    """A training run in one way, at its start: weights, batches of tasks in turn, Adam."""

    def __init__(self, name: str, way: str, work: Named):
        own = {key.removeprefix(f"{name}/"): part for key, part in work.items() if key.startswith(f"{name}/")}
        self.steps = int(own["inner_steps"])
        self.inner_lr, self.prior_count, self.clip = (float(own[key]) for key in ("inner_lr", "prior_count", "clip"))
        constants = {key: own[key] for key in ("mean", "scale") if key in own}
        self.net = lambda weights, task: NETS[name](weights, task | constants)
        self.weights = {
            key.removeprefix("weights/"): part.clone().requires_grad_()
            for key, part in own.items()
            if key.startswith("weights/")
        }
        self.batches = batches(own)
        self.optimiser = torch.optim.Adam(self.weights.values(), lr=float(own["lr"]), fused=True)
        self.gradient = WAYS[way](self)
        begun = time.perf_counter()
        first = self.gradient(*next(self.batches))
        self.first_seconds = time.perf_counter() - begun
        self.norm = float(sum(part.detach().square().sum() for part in first.values()).sqrt())

    def loss(self, weights: Named, task: Named, extra_count: float) -> torch.Tensor:
        """Mean squared error of the real examples, their number plus `extra_count`."""
        error = (self.net(weights, task) - task["y"]).square() * task["mask"]
        return error.sum() / (task["mask"].sum() + extra_count).clamp(min=1e-6)

    def query_loss(self, slope: Slope, weights: Named, support: Named, query: Named) -> torch.Tensor:
        """Of one task, after the inner steps of all weights but the tables of ids."""
        free = {name: part for name, part in weights.items() if "id_" not in name}
        for _ in range(self.steps):
            slopes = slope(lambda free: self.loss(weights | free, support, self.prior_count), free)
            free = {name: part - self.inner_lr * slopes[name] for name, part in free.items()}
        return self.loss(weights | free, query, 0.0)

    def step(self) -> None:
        """Meta-gradient of the next batch, clip, Adam."""
        for name, part in self.gradient(*next(self.batches)).items():
            self.weights[name].grad = part
        torch.nn.utils.clip_grad_norm_(self.weights.values(), self.clip)
        self.optimiser.step()


def batches(own: Named) -> Iterator[tuple[Named, Named]]:
    """Support and query of the batches of tasks, round and round."""
    parts = [
        {key.removeprefix(f"{part}/"): column for key, column in own.items() if key.startswith(f"{part}/")}
        for part in ("support", "query")
    ]
    while True:
        for place in range(len(parts[0]["y"])):
            yield tuple({name: column[place] for name, column in part.items()} for part in parts)


def by_autograd(function: Callable[[Named], torch.Tensor], where: Named) -> Named:
    """The gradient as something that can be differentiated again."""
    return dict(zip(where, torch.autograd.grad(function(where), list(where.values()), create_graph=True), strict=True))


def by_func(function: Callable[[Named], torch.Tensor], where: Named) -> Named:
    """The same by torch.func, which vmap can go over."""
    return torch.func.grad(function)(where)


def maml_loop(job: Job) -> Callable[[Named, Named], Named]:
    """The exact meta-gradient, task after task."""

    def gradient(support: Named, query: Named) -> Named:
        for part in job.weights.values():
            part.grad = None
        number = len(support["y"])
        for task in range(number):
            own = ({name: column[task] for name, column in part.items()} for part in (support, query))
            (job.query_loss(by_autograd, job.weights, *own) / number).backward()
        return {name: part.grad for name, part in job.weights.items()}

    return gradient


def batch_gradient(job: Job) -> Callable[[Named, Named, Named], Named]:
    """(weights, support, query) -> the same, of the mean over tasks side by side: tables of ids have one gradient and
    not one a task."""

    def mean_loss(weights: Named, support: Named, query: Named) -> torch.Tensor:
        return torch.func.vmap(partial(job.query_loss, by_func), in_dims=(None, 0, 0))(weights, support, query).mean()

    return torch.func.grad(mean_loss)


def no_graph(job: Job, gradient: Callable[[Named, Named, Named], Named]) -> Callable[[Named, Named], Named]:
    """At the job's weights, without a record of how they came to be."""

    def task_gradient(support: Named, query: Named) -> Named:
        with torch.no_grad():
            return gradient(job.weights, support, query)

    return task_gradient


WAYS = {
    "maml_loop": maml_loop,
    "maml_vmap": lambda job: no_graph(job, batch_gradient(job)),
    "maml_compile": lambda job: no_graph(job, torch.compile(batch_gradient(job))),
}


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(int(sys.argv[2]))
    with np.load(sys.argv[1]) as opened:
        work = {name: torch.from_numpy(opened[name]) for name in opened.files}
    jobs: dict[str, Job] = {}
    for line in sys.stdin:
        name, way = line.split()
        if line not in jobs:
            jobs[line] = Job(name, way, work)
            jobs[line].step()  # the first makes the moments
        job, steps, begun, worked = jobs[line], 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < BOUT:
            job.step()
            steps += 1
        answer = {"seconds": (time.perf_counter() - begun) / steps, "cpu": (time.process_time() - worked) / steps}
        answer |= {"first_seconds": job.first_seconds, "norm": job.norm, "torch": torch.__version__}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
