"""Titles by words."""

import numpy as np

from metarec_jax.data.features.titles import words


class Titles:
    """An index of titles. A word is found by how it begins, in small or capital letters, with or without accents."""

    def __init__(self, titles: np.ndarray, popularity: np.ndarray):
        """
        Args:
          titles: [I] str.
          popularity: [I], whatever is popular comes first.
        """
        self.order = np.argsort(-popularity, kind="stable")
        self.texts = ["".join(f" {word}" for word in words(str(titles[item]))) for item in self.order]

    def find(self, query: str, most: int = 20) -> list[int]:
        """The items with all words of the query in the title, popular first, at most so many; all for no words."""
        asked, items = [f" {word}" for word in dict.fromkeys(words(query))], []
        for item, text in zip(self.order, self.texts, strict=True):
            if all(word in text for word in asked):
                items.append(int(item))
                if len(items) == most:
                    break
        return items
