"""What a run was made with, for its report."""

import os
import resource
import sys
from typing import Any

import jax


def environment() -> dict[str, Any]:
    """What the figures were made with."""
    return {
        "python": sys.version.split()[0],
        "jax": jax.__version__,
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "cores": os.cpu_count(),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
