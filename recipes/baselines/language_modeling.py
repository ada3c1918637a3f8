"""The baseline of language modeling: the frequency of each token, whatever comes before it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from datamodules.language_modeling import LanguageModelingDataModule
from recipes.baselines.baseline import Baseline, computed
from zoo.metrics.language_modeling import LanguageModelingMetrics


def baselines(data: LanguageModelingDataModule, stage: str, *, quick: bool) -> Iterator[Baseline]:
    """Unigrams, with one more occurrence of each token than there is in the training split (Laplace's rule)."""
    counts = np.bincount(data.stream("train").lines.values, minlength=len(data.codec.vocabulary)) + 1
    stream = data.stream("test" if stage == "test" else "dev")
    loss = -np.log(counts[stream.lines.values] / counts.sum()).mean()
    metrics = LanguageModelingMetrics()
    metrics.update(torch.tensor(loss), torch.tensor(len(stream)), torch.from_numpy(stream.units(0, len(stream))))
    yield Baseline.of("unigrams", stage, computed(metrics))
