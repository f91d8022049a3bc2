"""Lists of neighbours: which items are liked by the same users."""

import jax.numpy as jnp
import numpy as np
import scipy.sparse

from metarec_jax.models.neighbours import NeighbourLists


def count_neighbours(likes: scipy.sparse.csr_array, length: int, discount: float) -> NeighbourLists:
    """Lists of `length` neighbours from who likes what, [U, I] of ones.

    The discount is what a random walk from item to user to item does with a discount of 1 (P3alpha, Cooper et al.
    2014): being liked by somebody who likes everything says little.
    """
    users, items = likes.shape
    own = np.diff(likes.indptr).astype(np.float32)
    typical = float(own.mean())
    weight = (typical / np.maximum(own, 1.0)) ** discount
    pairs = (likes.T @ (scipy.sparse.diags_array(weight) @ likes)).tocsr()
    popularity = np.bincount(likes.indices, minlength=items).astype(np.float32)
    length = min(length, items - 1)
    ids, counts = np.zeros((items, length), np.int32), np.zeros((items, length), np.float32)
    for item in range(items):
        row = slice(pairs.indptr[item], pairs.indptr[item + 1])
        other, count = pairs.indices[row], pairs.data[row]
        other, count = other[other != item], count[other != item]
        best = np.argsort(-count / np.sqrt(popularity[other]), kind="stable")[:length]
        ids[item, : len(best)], counts[item, : len(best)] = other[best], count[best]
    lists = NeighbourLists(ids, counts, popularity, np.float32(discount), np.float32(typical))
    return NeighbourLists(*(jnp.asarray(part) for part in lists))
