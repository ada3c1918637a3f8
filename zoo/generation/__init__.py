"""Greedy search, sampling and beam search over any step function. Nothing here knows a model."""

from zoo.generation.beam import beam_search, check_search
from zoo.generation.limits import NOTHING, Limits
from zoo.generation.search import (
    Hypothesis,
    Nested,
    Source,
    State,
    Step,
    greedy,
    most_probable,
    sample,
    sampler,
    select,
    write,
)

__all__ = [
    "NOTHING",
    "Hypothesis",
    "Limits",
    "Nested",
    "Source",
    "State",
    "Step",
    "beam_search",
    "check_search",
    "greedy",
    "most_probable",
    "sample",
    "sampler",
    "select",
    "write",
]
