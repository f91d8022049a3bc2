"""The devices of a run, and what it was made with, for its report."""

import os
import resource
import sys
from typing import Any

import jax


def make_devices(number: int) -> None:
    """As many devices as asked for: virtual ones, where there is nothing better. Before jax is used.

    Also sets the number of threads: enough for collectives on virtual devices, and the same on every machine, for how
    sums are rounded depends on it.
    """
    os.environ.setdefault("NPROC", "16")
    if number > 1 and jax.config.jax_platforms in (None, "", "cpu"):
        jax.config.update("jax_num_cpu_devices", number)


def environment() -> dict[str, Any]:
    """What the figures were made with."""
    return {
        "python": sys.version.split()[0],
        "jax": jax.__version__,
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cores": os.cpu_count(),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
