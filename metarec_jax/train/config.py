"""Hyper-parameters of the outer loop."""

import dataclasses

VALIDATIONS = 20  # in a training: so often are parameters validated and saved


@dataclasses.dataclass(frozen=True)
class Config:
    """Hyper-parameters of the outer loop."""

    outer_lr: float = 1e-3
    weight_decay: float = 0.0
    batch: int = 64  # tasks a step
    steps: int = 2000
    patience: int = 800  # steps without a better validation value

    @property
    def length(self) -> int:
        """Steps between two validations."""
        return max(1, -(-self.steps // VALIDATIONS))

    @property
    def total(self) -> int:
        """`steps`, rounded up to whole lengths."""
        return -(-self.steps // self.length) * self.length
