"""Takes over the weights of a trained model into a model with another codec: other labels, or more words.

A dimension of a weight may be indexed by a field of the codec, such as the rows of an embedding by the words. Entries
that both codecs have keep their weights, wherever they stand; the other entries keep those that the new model begins
with. A weight that no field of the codec indexes is taken over as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from zoo.codecs import Codec
from zoo.errors import ZooError
from zoo.models.base import ZooModule
from zoo.models.transferred import Entries, Transfer
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


@dataclass(frozen=True)
class Source:
    """What a model may take over."""

    name: str
    """The trained model, as the user has named it."""
    weights: Mapping[str, Tensor]
    """Its weights, by the names that they have in the new model."""
    codec: Codec
    indexed: Mapping[str, tuple[str, ...]]
    """By the name of a weight, the fields that index its first dimensions, as the new model calls them."""
    fields: Mapping[str, Inventory]
    """The entries of these fields."""
    partial: bool = False
    """Whether it may lack weights of the embeddings and the encoder of the new model."""

    @classmethod
    def of(cls, model: ZooModule, name: str) -> Source:
        """A model of the same task as the new one."""
        return cls(name, model.state_dict(), model.codec, model.indexed, fields_of(model))

    def inventories(self, parameter: str) -> list[Inventory]:
        """What indexes the first dimensions of a weight."""
        return [self.fields[name] for name in self.indexed.get(parameter, ())]


def fields_of(model: ZooModule) -> dict[str, Inventory]:
    """The fields of a model's codec that index weights."""
    return {name: getattr(model.codec, name) for names in model.indexed.values() for name in names}


def transfer(source: ZooModule, target: ZooModule, name: str) -> Transfer:
    """Copies the weights of a model into another one of the same task, see `take_over`.

    Args:
        source: the trained model.
        target: the new model.
        name: the source, as the user has named it.
    """
    return take_over(Source.of(source, name), target)


@torch.no_grad()
def take_over(source: Source, target: ZooModule) -> Transfer:
    """Copies weights into a model as far as they fit, and records it as `target.origin`.

    Raises:
        ZooError: a weight of the embeddings or the encoder does not fit. What the layers above it have learned would
            be of no use then.
    """
    fits: dict[str, bool] = {}
    fields = fields_of(target)
    for parameter, value in target.state_dict().items():
        old = source.weights.get(parameter)
        ours = [fields[name] for name in target.indexed.get(parameter, ())]
        fits[parameter] = old is not None and _copy(old, value, ours=ours, theirs=source.inventories(parameter))
        if fits[parameter] or target.depth_of(parameter) is None or (old is None and source.partial):
            continue
        before = "missing" if old is None else f"of shape {tuple(old.shape)}"
        raise ZooError(
            f"{source.name} cannot be taken over: its {parameter} is {before}, and that of the new model is of shape "
            f"{tuple(value.shape)}. Sizes, cells and imported vectors must be those of {source.name}: leave out what "
            "differs, choose another model, or train a new one without it"
        )
    # Buffers, such as a temperature, follow the weights.
    depths = target.depths()
    told = {parameter: fits[parameter] for parameter in sorted(depths, key=depths.__getitem__)}
    done = Transfer(
        source.name,
        taken=tuple(dict.fromkeys(_module(parameter) for parameter in told if told[parameter])),
        new=_new(told),
        left_out=tuple(dict.fromkeys(_module(parameter) for parameter in source.weights if parameter not in fits)),
        entries=_entries(source, target),
        differences=_differences(source.codec, target),
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


def _module(parameter: str) -> str:
    return parameter.partition(".")[0]


def _new(fits: Mapping[str, bool]) -> tuple[str, ...]:
    """The largest parts of the model of which no weight fits."""
    taken = {part for parameter in fits if fits[parameter] for part in _parts(parameter)}
    names = [next(part for part in _parts(parameter) if part not in taken) for parameter in fits if not fits[parameter]]
    return tuple(dict.fromkeys(names))


def _parts(parameter: str) -> list[str]:
    """The module that a parameter is in, the modules in between, and the parameter itself, by their names."""
    return list(accumulate(parameter.split("."), "{}.{}".format))


def _entries(source: Source, target: ZooModule) -> dict[str, Entries]:
    found = {}
    for name, ours in fields_of(target).items():
        theirs = source.fields.get(name, Inventory(()))
        if not ours and not theirs:
            continue
        old = set(theirs)
        new = tuple(entry for entry in ours if entry not in old)
        known = len(ours) - len(new)
        found[name] = Entries(known, new, lost=len(theirs) - known, answers=name in target.codec.ANSWERS)
    return found


def _differences(codec: Codec, target: ZooModule) -> tuple[str, ...]:
    """In what the codecs differ, apart from the fields that index weights, and from those that only one of them has."""
    ours, theirs = target.codec.state, codec.state
    # The positive label follows from the labels.
    known = {*fields_of(target), "positive"}
    told = []
    for name in ours:
        if name in known or name not in theirs or ours[name] == theirs[name]:
            continue
        is_long = isinstance(ours[name], list)
        told.append(name if is_long else f"{name} is {ours[name]!r} here and {theirs[name]!r} there")
    return tuple(told)
