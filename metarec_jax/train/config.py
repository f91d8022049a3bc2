"""Hyper-parameters of the outer loop."""

import dataclasses
import math

VALIDATIONS = 20  # in a training: so often are parameters validated and saved


@dataclasses.dataclass(frozen=True)
class Config:
    """Hyper-parameters of the outer loop."""

    outer_lr: float = 1e-3
    weight_decay: float = 0.0
    batch: int = 64  # tasks a step
    steps: int = 2000
    patience: int = 800  # steps without a better validation value
    episodes: float = 0.0  # most episodes of a training task's owner; 0: no bound

    @property
    def length(self) -> int:
        """Steps between two validations."""
        return max(1, -(-self.steps // VALIDATIONS))

    @property
    def total(self) -> int:
        """`steps`, rounded up to whole lengths."""
        return -(-self.steps // self.length) * self.length

    def bounded(self, owners: int) -> "Config":
        """With no more steps than `episodes` of each of so many owners make, and at least one; to the nearest half
        power of 2, so that the splits of a table share a compiled program."""
        if not self.episodes:
            return self
        most = max(1.0, self.episodes * owners / self.batch)
        return dataclasses.replace(self, steps=min(self.steps, round(2 ** (round(2 * math.log2(most)) / 2))))
