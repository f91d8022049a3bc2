"""Eight virtual CPU devices for the whole test run, threads enough for their collectives, typed keys only."""

import gc
import os
import shutil
import tempfile
from pathlib import Path

os.environ["NPROC"] = "16"  # read when jax starts; with fewer threads than devices a collective can deadlock
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in `experiments`
# Most of the time of these tests is compiling: LLVM's optimisations and XLA's newer way of writing loops (a third of
# it) cost more than they give. XLA's own optimisations are all on.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")

import hypothesis
import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_legacy_prng_key", "error")
# The same examples in every run: a test that fails fails again.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")


COMPILED = "JAX_COMPILATION_CACHE_DIR"
MAPS, MOST_MAPS = Path("/proc/self/maps"), 20_000
own_folder: list[str] = []


def pytest_configure() -> None:
    """What several tests, or the experiments that they start, compile alike is compiled once in a run of the tests.

    The first process makes the folder; those that it starts find it in their environment.
    """
    if COMPILED not in os.environ:
        os.environ[COMPILED] = tempfile.mkdtemp(prefix="compiled_")
        own_folder.append(os.environ[COMPILED])
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.0")
    jax.config.update("jax_compilation_cache_dir", os.environ[COMPILED])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_unconfigure() -> None:
    """The process that made the folder takes it away."""
    for folder in own_folder:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_do_not_pile_up():
    """A compiled program takes three mappings of memory, and a process that has no more of them crashes: see
    `sysctl vm.max_map_count`, 65,530. What stays is not searched for garbage, which would take minutes."""
    yield
    if MAPS.exists() and len(MAPS.read_bytes().splitlines()) > MOST_MAPS:
        jax.clear_caches()
    gc.freeze()


def pytest_itemcollected(item) -> None:
    """Tests that share expensive fixtures, a file's or a learner's, stay together when several processes run them.

    Here and not when collection is over, when xdist has read the marks already.
    """
    learner = getattr(item, "callspec", None) and item.callspec.params.get("name")
    group = f"{item.path.name}-{learner}" if item.path.name == "test_conformance.py" else item.path.name
    item.add_marker(pytest.mark.xdist_group(group))
