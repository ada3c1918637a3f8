"""What the processes of a training agree on before it begins: that none has failed, and that all read the same data."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from torch import distributed

from datamodules.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class _Outcome:
    """What one process tells the others: its machine, and either its facts or its error."""

    host: str
    facts: dict[str, str] = field(default_factory=dict)
    error: str | None = None


def several_processes() -> bool:
    """Whether this process belongs to a group of several."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


@contextmanager
def agreeing() -> Iterator[dict[str, str]]:
    """A block that fails on all processes if it fails on one of them, or if their facts differ.

    All processes must enter it together. Without it, the others would wait for a process that has failed. A lone
    process agrees with itself.

    Yields:
        An empty dictionary for facts: values that must be the same on all processes, by what they are of.

    Raises:
        DataError: the block has failed on another process, or facts differ. A process on which the block fails raises
            its own error.
    """
    facts: dict[str, str] = {}
    if not several_processes():
        yield facts
        return
    try:
        yield facts
    except Exception as error:
        _tell_all(_Outcome(socket.gethostname(), error=str(error) or type(error).__name__))
        raise
    outcomes = _tell_all(_Outcome(socket.gethostname(), facts))
    for rank, outcome in enumerate(outcomes):
        if outcome.error is not None:
            raise DataError(f"process {rank} on {outcome.host}: {outcome.error}")
    _compare(outcomes)


def of_first(value: T) -> T:
    """The value that the first process has. All processes must call this function together."""
    if not several_processes():
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def digest_of_files(paths: Iterable[str | Path]) -> str:
    """A sum that two lists of files share if their contents are equal, whatever their names are.

    Raises:
        DataError: a file cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            with open(path, "rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{path}: expected a file to read, got: {error.strerror}. Check the path") from error
    return total.hexdigest()


def digest_of_state(state: object) -> str:
    """A sum that two plain values, such as the states of two codecs, share if they are equal."""
    return hashlib.sha256(json.dumps(state, ensure_ascii=False, default=str).encode()).hexdigest()


def _tell_all(outcome: _Outcome) -> list[_Outcome]:
    """The outcomes of all processes, by rank."""
    outcomes = [outcome] * distributed.get_world_size()
    distributed.all_gather_object(outcomes, outcome)
    return outcomes


def _compare(outcomes: list[_Outcome]) -> None:
    """Refuses facts that differ from those of the first process."""
    first = outcomes[0]
    for rank, other in enumerate(outcomes):
        names = [name for name in {**first.facts, **other.facts} if first.facts.get(name) != other.facts.get(name)]
        if names:
            raise DataError(
                f"process {rank} on {other.host} and process 0 on {first.host} differ in {', '.join(names)}: "
                "give all processes the same files, such as those of a shared folder, and the same flags"
            )
