"""Settings of the whole suite."""

from __future__ import annotations

import os

import torch
from hypothesis import settings

torch.set_num_threads(1)  # the tensors here are tiny, and the suite runs in several processes
os.environ["OMP_NUM_THREADS"] = "1"  # for the recipes that tests start
os.environ.setdefault("WANDB_MODE", "disabled")
settings.register_profile("zoo", deadline=None)
settings.load_profile("zoo")
