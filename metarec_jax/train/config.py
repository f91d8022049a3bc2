"""Hyper-parameters of the outer loop."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Config:
    """Hyper-parameters of the outer loop."""

    outer_lr: float = 1e-3
    weight_decay: float = 0.0
    batch: int = 64  # tasks a step
    steps: int = 2000
    patience: int = 800  # steps without a better validation value
