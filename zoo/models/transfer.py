"""Takes over the weights of a trained model into a model with another codec: other labels, or more words.

A dimension of a weight may be indexed by a field of the codec, such as the rows of an embedding by the words. Entries
that both codecs have keep their weights, wherever they stand; the other entries keep those that the new model begins
with. A weight that no field of the codec indexes is taken over as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.models.base import ZooModule
from zoo.text import Inventory

# The arguments of a model that may differ from those of its source. They say how the model is trained and searched, or
# belong to parts that may be new. An argument with a dot is a field of a group of options.
FREE_ARGUMENTS = frozenset(
    {
        "class_weights", "dropout", "head", "language_model_weight", "metric", "optimizer", "regularization", "search",
        "tune_vectors", "attention.coverage_after", "attention.coverage_weight", "recurrent.hidden_dropout",
        "recurrent.input_dropout", "recurrent.kernel", "recurrent.weight_drop", "recurrent.zoneout",
    }
)  # fmt: skip
# The arguments that belong to the labels of a model.
LABEL_ARGUMENTS = ("class_weights",)
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


@torch.no_grad()
def transfer(source: ZooModule, target: ZooModule, name: str) -> Transfer:
    """Copies the weights of a model into another one as far as they fit, and records it as `target.origin`.

    Args:
        source: the trained model.
        target: the new model of the same task.
        name: the source, as the user has named it.

    Raises:
        ZooError: a weight of the embeddings or the encoder does not fit. What the layers above it have learned would
            be of no use then.
    """
    old_weights = source.state_dict()
    fits: dict[str, bool] = {}
    for parameter, value in target.state_dict().items():
        old = old_weights.get(parameter)
        ours = _inventories(target, parameter)
        theirs = _inventories(source, parameter)
        fits[parameter] = old is not None and _copy(old, value, ours=ours, theirs=theirs)
        if not fits[parameter] and target.depth_of(parameter) is not None:
            before = "missing" if old is None else f"of shape {tuple(old.shape)}"
            raise ZooError(
                f"{name} cannot be taken over: its {parameter} is {before}, and that of the new model is of shape "
                f"{tuple(value.shape)}. Sizes, cells and imported vectors must be those of {name}: leave out what "
                "differs, choose another model, or train a new one without it"
            )
    # Buffers, such as a temperature, follow the weights.
    depths = target.depths()
    told = {parameter: fits[parameter] for parameter in sorted(depths, key=depths.__getitem__)}
    done = Transfer(
        name,
        taken=tuple(dict.fromkeys(_module(parameter) for parameter in told if told[parameter])),
        new=_new(told),
        left_out=tuple(dict.fromkeys(_module(parameter) for parameter in old_weights if parameter not in fits)),
        entries=_entries(source, target),
        differences=_differences(source, target),
    )
    with_new_rows = {field for field, entries in done.entries.items() if entries.new}
    target.origin = done.record()
    target.untrained = tuple(
        parameter for parameter in fits if not fits[parameter] or with_new_rows & {*target.indexed.get(parameter, ())}
    )
    return done


def _copy(old: Tensor, value: Tensor, *, ours: Sequence[Inventory], theirs: Sequence[Inventory]) -> bool:
    """Copies `old` into `value` where both have the same entries; returns whether any weight was copied.

    Args:
        old: a weight of the source.
        value: the same weight of the new model.
        ours: what indexes the first dimensions of `value`.
        theirs: what indexes the first dimensions of `old`.
    """
    indexed = len(ours)
    if len(theirs) != indexed or old.shape[indexed:] != value.shape[indexed:]:
        return False
    if not indexed:
        value.copy_(old)
        return True
    places = [_common(*inventories) for inventories in zip(ours, theirs, strict=True)]
    if not all(len(new_ids) for new_ids, _ in places):
        return False
    # Each index is along a dimension of its own, so that together they select a block.
    new_index = torch.meshgrid(*(new_ids for new_ids, _ in places), indexing="ij")
    old_index = torch.meshgrid(*(old_ids for _, old_ids in places), indexing="ij")
    value[new_index] = old[old_index].to(value)
    return True


def _common(ours: Inventory, theirs: Inventory) -> tuple[Tensor, Tensor]:
    """The positions of the entries that two inventories share, in each of them."""
    places = {entry: place for place, entry in enumerate(theirs)}
    shared = [(place, places[entry]) for place, entry in enumerate(ours) if entry in places]
    new_ids = torch.tensor([new_id for new_id, _ in shared], dtype=torch.long)
    return new_ids, torch.tensor([old_id for _, old_id in shared], dtype=torch.long)


def _inventories(model: ZooModule, parameter: str) -> list[Inventory]:
    return [getattr(model.codec, name) for name in model.indexed.get(parameter, ())]


def _module(parameter: str) -> str:
    return parameter.partition(".")[0]


def _new(fits: Mapping[str, bool]) -> tuple[str, ...]:
    """The modules of which no weight fits, and the weights that do not fit of the others."""
    taken = {_module(parameter) for parameter in fits if fits[parameter]}
    names = [
        parameter if _module(parameter) in taken else _module(parameter) for parameter in fits if not fits[parameter]
    ]
    return tuple(dict.fromkeys(names))


def _entries(source: ZooModule, target: ZooModule) -> dict[str, Entries]:
    found = {}
    for name in dict.fromkeys(name for names in target.indexed.values() for name in names):
        ours: Inventory = getattr(target.codec, name)
        theirs: Inventory = getattr(source.codec, name)
        if not ours and not theirs:
            continue
        old = set(theirs)
        new = tuple(entry for entry in ours if entry not in old)
        known = len(ours) - len(new)
        found[name] = Entries(known, new, lost=len(theirs) - known, answers=name in target.codec.ANSWERS)
    return found


def _differences(source: ZooModule, target: ZooModule) -> tuple[str, ...]:
    """In what the codecs differ, apart from the fields that index weights."""
    indexing = {name for names in target.indexed.values() for name in names}
    ours, theirs = target.codec.state, source.codec.state
    told = []
    for name in ours:
        # The positive label follows from the labels.
        if name in {*indexing, "positive"} or ours[name] == theirs[name]:
            continue
        is_long = isinstance(ours[name], list)
        told.append(name if is_long else f"{name} is {ours[name]!r} here and {theirs[name]!r} there")
    return tuple(told)


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
