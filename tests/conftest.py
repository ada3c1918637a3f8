"""Settings of the whole suite."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from hypothesis import settings

# jsonargparse has no public names for these two.
from jsonargparse import _optionals
from jsonargparse._common import parsing_settings
from stub_hub import serve

# The tensors here are tiny, and the suite runs in several processes.
torch.set_num_threads(1)
# This is for the recipes that tests start as processes.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("WANDB_MODE", "disabled")
# No test asks the real hub of Hugging Face. Its library reads these when it is imported, as other libraries do, too.
HUB = serve()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{HUB.server_port}"
os.environ["HF_TOKEN"] = "hf_token"
# Xet, which splits files into chunks, has a protocol and servers of its own.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
settings.register_profile("zoo", deadline=None)
settings.load_profile("zoo")
# Before a recipe has said, for its whole process, which classes a config file may name.
FIRST_PARSER_SETTINGS = dict(parsing_settings)


def pytest_collection_finish() -> None:
    """Takes all objects so far, which live as long as the tests do, out of the garbage collector's sight."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def docstrings_are_parsed_once() -> Iterator[None]:
    """Keeps the docstrings of flags. Each command line parses those of the whole Trainer, which is most of its time."""
    with patch.object(_optionals, "parse_docstring", functools.cache(_optionals.parse_docstring)):
        yield


@pytest.fixture(autouse=True)
def parser_settings() -> Iterator[None]:
    """Each test begins with the settings of a fresh process, whatever recipes have run before it."""
    with patch.dict(parsing_settings, FIRST_PARSER_SETTINGS):
        yield
