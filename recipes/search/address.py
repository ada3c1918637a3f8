"""Where a run finds the search that it is a trial of."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

# The environment variable in which a search tells a run its address.
VARIABLE = "LSTM_ZOO_TRIAL"


@dataclass(frozen=True)
class TrialAddress:
    """Where a trial finds its search.

    Attributes:
        storage: the address of the database.
        study: the name of the study in the database.
        trial_id: the id of the trial in the database.
        pruning: whether the trial is stopped if its scores are low.
        process: the id of the search's process.
    """

    storage: str
    study: str
    trial_id: int
    pruning: bool
    process: int

    def environment(self) -> dict[str, str]:
        """The environment variable that tells this address to a run."""
        return {VARIABLE: json.dumps(asdict(self))}


def own_address() -> TrialAddress | None:
    """The address of this run; None if it is no trial."""
    told = os.environ.get(VARIABLE)
    return None if told is None else TrialAddress(**json.loads(told))
