"""An order of pairs of numbers that says nothing of them."""

import numpy as np


def pair_hash(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[N] uint64 of pairs of whole numbers from 0 to 2^32 - 1, whose order says nothing of the pairs; no two are equal.

    The last steps of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
    """
    mixed = (first.astype(np.uint64) << np.uint64(32)) | second.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
