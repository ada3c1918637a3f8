"""Removes Lightning's advertisements for other products from a training's output, and keeps its other messages."""

from __future__ import annotations

import logging
import warnings

TIP = "💡 Tip"
# The second warning is about Lightning's own use of torch, which users cannot change.
WARNINGS = (".*`tensorboardX` has been removed as a dependency", ".*isinstance\\(treespec, LeafSpec\\)")


def without_tips(record: logging.LogRecord) -> bool:
    """Whether a log record is not one of Lightning's tips to install another product."""
    return not record.getMessage().startswith(TIP)


def silence_advertisements() -> None:
    """Suppresses these tips and warnings in this process. A second call changes nothing."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(without_tips)
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message=message)
