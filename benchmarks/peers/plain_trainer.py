"""How our benchmarks train: with a plain Lightning Trainer, as a user would."""

from __future__ import annotations

from typing import Literal

import pytorch_lightning as pl

# The precisions that the benchmarks train in, as Lightning names them.
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def plain_trainer(
    callback: pl.Callback,
    *,
    precision: Precision,
    max_epochs: int = -1,
    max_steps: int = -1,
    clip: float | None = None,
) -> pl.Trainer:
    """A Trainer on the CPU that only trains: it does not evaluate, log or write checkpoints.

    Args:
        callback: the only callback.
        precision: of the training steps.
        max_epochs: epochs after which training ends. -1: no limit.
        max_steps: training steps after which training ends. -1: no limit.
        clip: the largest norm of the gradients. None: gradients are not clipped.
    """
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=max_epochs,
        max_steps=max_steps,
        precision=precision,
        gradient_clip_val=clip,
        callbacks=[callback],
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
