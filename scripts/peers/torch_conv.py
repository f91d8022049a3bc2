"""The work of `bench_conv.py` in plain PyTorch: started by it, with an interpreter that has torch.

    python torch_conv.py WORK.npz

It reads the name of a job a line, does it once, and answers with a line of JSON: the seconds it took, and the norm of
the gradient, by which the caller knows that the work was the same.
"""

import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

EPSILON = 1e-3
LAYERS = 4


def features(x: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    """Conv4 with the statistics of its own batch: [N, 1, 28, 28] -> [N, 64]."""
    for layer in range(LAYERS):
        kernel, scale, offset = weights[3 * layer : 3 * layer + 3]
        x = F.conv2d(x, kernel, padding=1)
        x = F.max_pool2d(F.relu(F.batch_norm(x, None, None, scale, offset, training=True, eps=EPSILON)), 2)
    return x.flatten(1)


def logits(x: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    """With a linear head."""
    return F.linear(features(x, weights), weights[-2], weights[-1])


def maml_loop(work: dict[str, torch.Tensor], weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """The exact meta-gradient, task after task."""
    total = [torch.zeros_like(part) for part in weights]
    for x, y, query_x, query_y in zip(*(work[name] for name in ("x", "y", "query_x", "query_y")), strict=True):
        moved = weights
        for _ in range(int(work["steps"])):
            slopes = torch.autograd.grad(F.cross_entropy(logits(x, moved), y), moved, create_graph=True)
            moved = [part - work["lr"] * slope for part, slope in zip(moved, slopes, strict=True)]
        slopes = torch.autograd.grad(F.cross_entropy(logits(query_x, moved), query_y), weights)
        total = [old + new for old, new in zip(total, slopes, strict=True)]
    return [part / len(work["x"]) for part in total]


def maml_vmap(work: dict[str, torch.Tensor], weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """The same by torch.func, two tasks at a time, which was the fastest of 1, 2 and 4."""

    def support_loss(weights, x, y):
        return F.cross_entropy(logits(x, weights), y)

    def query_loss(weights, x, y, query_x, query_y):
        moved = weights
        for _ in range(int(work["steps"])):
            slopes = torch.func.grad(support_loss)(moved, x, y)
            moved = [part - work["lr"] * slope for part, slope in zip(moved, slopes, strict=True)]
        return F.cross_entropy(logits(query_x, moved), query_y)

    free = [part.detach() for part in weights]  # else autograd records a third order, and keeps it for every task
    tasks = [work[name] for name in ("x", "y", "query_x", "query_y")]
    each = torch.func.vmap(torch.func.grad(query_loss), in_dims=(None, 0, 0, 0, 0), chunk_size=2)(free, *tasks)
    return [part.mean(0) for part in each]


def protonet(work: dict[str, torch.Tensor], weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """The gradient of one episode's loss, with activations as channels_last."""
    fast = [part.contiguous(memory_format=torch.channels_last) if part.ndim == 4 else part for part in weights]
    x, query_x = (work[name].contiguous(memory_format=torch.channels_last) for name in ("proto_x", "proto_query_x"))
    y, embedded = work["proto_y"], features(x, fast)
    sums = torch.zeros(int(y.max()) + 1, embedded.shape[1]).index_add(0, y, embedded)
    distances = torch.cdist(features(query_x, fast), sums / torch.bincount(y)[:, None]) ** 2
    loss = F.cross_entropy(-distances, work["proto_query_y"])
    return torch.autograd.grad(loss, weights[: 3 * LAYERS])


JOBS = {"maml_loop": maml_loop, "maml_vmap": maml_vmap, "protonet": protonet}


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(int(sys.argv[2]))
    with np.load(sys.argv[1]) as opened:
        work = {name: torch.from_numpy(opened[name]) for name in opened.files}
    weights = [work.pop(f"weights_{place}").requires_grad_() for place in range(3 * LAYERS + 2)]
    for line in sys.stdin:
        begun = time.perf_counter()
        gradient = JOBS[line.strip()](work, weights)
        seconds = time.perf_counter() - begun
        norm = float(sum(part.detach().square().sum() for part in gradient).sqrt())
        print(json.dumps({"seconds": seconds, "norm": norm, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
