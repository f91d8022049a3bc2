"""Programs: `python -m experiments.NAME` or scripts/run.sh. What the environment must say before numpy is loaded."""

import os

# One thread for the products of BLAS, most of which are small here. With more of them they wait for each other, each
# keeping its core busy meanwhile: on a machine with other work the fit of a Gaussian process took twenty times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
