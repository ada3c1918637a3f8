"""Which of Lightning's strategies and precisions the models train with; others are refused before the training."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy

from zoo.errors import ZooError

# "16-mixed" needs a GPU: on a CPU, Lightning takes "bf16-mixed" in its place.
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")


def check_supported(trainer: pl.Trainer) -> None:
    """Refuses a Trainer with which no model trains correctly.

    Raises:
        ZooError: its strategy splits the weights among processes, or its precision replaces layers.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
        raise ZooError(
            f"expected a strategy that keeps all weights on each device, got {type(strategy).__name__}: gradients are "
            "clipped, weights are saved and recurrent layers are computed from whole weights, which FSDP, DeepSpeed "
            "and model parallelism split among processes. Use strategy='ddp'; these models fit on one device"
        )
    if trainer.precision not in PRECISIONS:
        raise ZooError(
            f"expected a precision of {', '.join(PRECISIONS)}, got {trainer.precision!r}, which replaces linear layers "
            "that the recurrent layers do not have"
        )
