"""Settings of the whole suite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from hypothesis import settings

# jsonargparse has no public way back from an import policy.
from jsonargparse._common import parsing_settings

# The tensors here are tiny, and the suite runs in several processes.
torch.set_num_threads(1)
# This is for the recipes that tests start as processes.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("WANDB_MODE", "disabled")
settings.register_profile("zoo", deadline=None)
settings.load_profile("zoo")
# Before a recipe has said, for its whole process, which classes a config file may name.
FIRST_PARSER_SETTINGS = dict(parsing_settings)


@pytest.fixture(autouse=True)
def parser_settings() -> Iterator[None]:
    """Each test begins with the settings of a fresh process, whatever recipes have run before it."""
    with patch.dict(parsing_settings, FIRST_PARSER_SETTINGS):
        yield
