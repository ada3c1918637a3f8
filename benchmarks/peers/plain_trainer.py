"""How our benchmarks train: as a user would, with a plain Trainer."""

from __future__ import annotations

import pytorch_lightning as pl


def plain_trainer(
    callback: pl.Callback, *, precision: str, max_epochs: int = -1, max_steps: int = -1, clip: float | None = None
) -> pl.Trainer:
    """A Trainer on the CPU that does nothing but train: no evaluation, logs or checkpoints."""
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
