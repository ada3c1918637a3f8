"""What a baseline is, and which of them a run computes.

A baseline is fitted on the training split alone, and scored by the metric of the task on the split that a run is scored
on. A run computes those that take less than about a second: see `QUICK_EXAMPLES` and `QUICK_CHARACTERS`. The command
`baselines` computes all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torchmetrics import Metric

# A run computes no baseline for more training examples than these.
QUICK_EXAMPLES = 100_000
# A run fits tf-idf to no more characters than these, times the number of labels. SST-2 has 1.4 million, TREC-6 1.5.
QUICK_CHARACTERS = 2_000_000


@dataclass(frozen=True)
class Baseline:
    """The scores of a baseline."""

    name: str
    scores: Mapping[str, float]
    """By the name under which a model's score is logged, such as `test/accuracy`."""
    note: str = ""
    """What was chosen for it on dev."""

    @classmethod
    def of(cls, name: str, stage: str, scores: Mapping[str, Tensor | float], note: str = "") -> Baseline:
        """A baseline whose scores have no stage in their names yet."""
        return cls(name, {f"{stage}/{score}": float(value) for score, value in scores.items()}, note)


def computed(metric: Metric) -> dict[str, Tensor]:
    """The scores of a metric that has all examples of a split. A run computes them on its first process alone."""
    # By default a metric waits for the other processes, to add their examples.
    metric.distributed_available_fn = lambda: False
    found: dict[str, Tensor] = metric.compute()
    return found
