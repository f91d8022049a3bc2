"""Eight virtual CPU devices for the whole test run, threads enough for their collectives, typed keys only."""

import os

os.environ["NPROC"] = "16"  # read when jax starts; with fewer threads than devices a collective can deadlock
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_legacy_prng_key", "error")
