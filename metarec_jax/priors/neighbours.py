"""Neighbour lists of items by co-occurrence, the data of `models.neighbours`."""

import jax.numpy as jnp
import numpy as np
import scipy.sparse

from metarec_jax.models.neighbours import NeighbourLists


def count_neighbours(likes: scipy.sparse.csr_array, length: int, discount: float) -> NeighbourLists:
    """Lists of `length` neighbours of each item.

    Args:
      likes: [U, I] sparse matrix, 1 where a user likes an item.
      length: N, the length of the lists; I - 1 at most.
      discount: exponent that lowers the weight of users with many liked items; 1 is a random walk from item to user to
        item (P3alpha, Cooper et al. 2014).
    """
    users, items = likes.shape
    likes_of_user = np.diff(likes.indptr).astype(np.float32)
    typical = float(likes_of_user.mean())
    weight = (typical / np.maximum(likes_of_user, 1.0)) ** discount
    pairs = (likes.T @ (scipy.sparse.diags_array(weight) @ likes)).tocsr()
    popularity = np.bincount(likes.indices, minlength=items).astype(np.float32)
    length = min(length, items - 1)
    ids, counts = np.zeros((items, length), np.int32), np.zeros((items, length), np.float32)
    for item in range(items):
        row = slice(pairs.indptr[item], pairs.indptr[item + 1])
        neighbour, count = pairs.indices[row], pairs.data[row]
        neighbour, count = neighbour[neighbour != item], count[neighbour != item]
        best = np.argsort(-count / np.sqrt(popularity[neighbour]), kind="stable")[:length]
        ids[item, : len(best)], counts[item, : len(best)] = neighbour[best], count[best]
    lists = NeighbourLists(ids, counts, popularity, np.float32(discount), np.float32(typical))
    return NeighbourLists(*(jnp.asarray(leaf) for leaf in lists))
