"""What a model has taken over from a trained one, in sentences for people and in plain types for its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What the entries of a field are called, where its name does not say it.
NOUNS = {"vocabulary": "tokens", "vector_words": "words with vectors"}
# The largest number of entries that a message names.
NAMED = 8


@dataclass(frozen=True)
class Entries:
    """The entries of a field of a codec, such as its words."""

    known: int
    """How many of them the source has too."""
    new: tuple[str, ...]
    """Those that the source lacks."""
    lost: int
    """How many the source has and the new model lacks."""
    answers: bool
    """Whether they are what a model answers, such as its labels."""


@dataclass(frozen=True)
class Transfer:
    """What a model has taken over from its source."""

    source: str
    """The trained model, as the user has named it."""
    taken: tuple[str, ...]
    """The modules of the model whose weights are those of the source, apart from the rows of new entries."""
    new: tuple[str, ...]
    """The modules and weights that begin untrained."""
    left_out: tuple[str, ...]
    """The modules that only the source has."""
    entries: Mapping[str, Entries]
    """The entries of each field of the codec that indexes weights, by the name of the field."""
    differences: tuple[str, ...]
    """In what else the two codecs differ."""

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def sentences(self) -> list[str]:
        """What a user should know, in plain sentences."""
        told = [f"{self.source} gives the weights of {_listed(self.taken)}."]
        for name, entries in self.entries.items():
            if entries.answers:
                told.append(_about_answers(self.source, name, entries))
                continue
            total = entries.known + len(entries.new)
            noun = NOUNS.get(name, name.replace("_", " "))
            if entries.new:
                told.append(f"{len(entries.new):,} of {total:,} {noun} are new.")
            if entries.lost:
                told.append(f"{entries.lost:,} {noun} of {self.source} are left out.")
        if self.new:
            told.append(f"New and untrained: {_listed(self.new)}.")
        if self.left_out:
            told.append(f"Left out of {self.source}: {_listed(self.left_out)}.")
        if self.differences:
            told.append(f"The codec also differs from that of {self.source}: {'; '.join(self.differences)}.")
        return told

    def record(self) -> dict[str, Any]:
        """The same in plain types, with the number of new entries in place of their names."""
        entries = {
            name: {"known": each.known, "new": len(each.new), "lost": each.lost} for name, each in self.entries.items()
        }
        return {
            "source": self.source,
            "taken": list(self.taken),
            "new": list(self.new),
            "left_out": list(self.left_out),
            "entries": entries,
            "differences": list(self.differences),
        }


def _about_answers(source: str, name: str, entries: Entries) -> str:
    new = len(entries.new)
    total = entries.known + new
    lost = f", and {entries.lost:,} of its {name} are left out" if entries.lost else ""
    if not new:
        return f"All {total:,} {name} are those of {source} and keep their weights{lost}."
    if not entries.known:
        return f"All {total:,} {name} are new: {_listed(entries.new)}."
    return (
        f"{entries.known:,} of {total:,} {name} are those of {source} and keep their weights{lost}. "
        f"New {name}: {_listed(entries.new)}."
    )


def _listed(names: Sequence[str]) -> str:
    """The first names, joined as in a sentence."""
    shown = list(names[:NAMED])
    if len(names) > NAMED:
        return f"{', '.join(shown)} and {len(names) - NAMED:,} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]])) or "nothing"
