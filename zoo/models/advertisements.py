"""Keeps what Lightning says about other products out of a training's output; all else that it says stays."""

from __future__ import annotations

import logging
import warnings

TIP = "💡 Tip"
# The second is about Lightning's own use of torch, which no user can change.
WARNINGS = (".*`tensorboardX` has been removed as a dependency", ".*isinstance\\(treespec, LeafSpec\\)")


def without_tips(record: logging.LogRecord) -> bool:
    """Whether a record is none of Lightning's tips to install another of its products."""
    return not record.getMessage().startswith(TIP)


def silence_advertisements() -> None:
    """Drops the tips and warnings named above, in this process; a second call changes nothing."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(without_tips)
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message=message)
