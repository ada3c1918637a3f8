"""The base of all codecs: conversion to plain types, and comparison of two codecs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar, Self

from zoo.errors import ZooError
from zoo.options import Options
from zoo.text import Vocabulary
from zoo.text.normalization import DEFAULT

if TYPE_CHECKING:
    from zoo.codecs.language_modeling import LanguageModelingCodec

# The number of differences that a message describes. It only names the others.
DESCRIBED = 3
# The number of characters of a value that a message shows.
LONGEST = 40


@dataclass(frozen=True)
class Codec(Options):
    """Everything that turns the texts of a task into ids, and ids into answers.

    A datamodule fits a codec on its training split, a model takes it as its first argument, and `save_pretrained`
    stores it. A datamodule that is given the codec of a model encodes its corpus for that model.

    Attributes:
        ANSWERS: the names of the fields that describe what a model answers, such as its labels.
    """

    ANSWERS: ClassVar[frozenset[str]] = frozenset()

    vector_words: Vocabulary = field(default=Vocabulary(()), kw_only=True)
    """The words with imported vectors, after `<pad>` and `<unk>`; empty without imported vectors."""
    vector_size: int = field(default=0, kw_only=True)
    """Features of an imported vector."""
    normalization: tuple[str, ...] = field(default=DEFAULT, kw_only=True)
    """How texts are normalized before anything else: names of `zoo.text.normalization.NORMALIZATIONS`."""

    @property
    def state(self) -> dict[str, Any]:
        """All fields in plain types: `type(codec).of(codec.state) == codec`."""
        # The fields of the task come before those of this class, as in the constructor.
        ordered = sorted(fields(self), key=lambda field: bool(field.kw_only))
        return {field.name: _plain(getattr(self, field.name)) for field in ordered}

    def extended(self, other: Self) -> Self:
        """This codec with the words of another one appended that it lacks, and with the answers of the other one.

        All that this codec knows keeps its ids, and texts are read as before. The words with imported vectors stay,
        because their vectors are weights of a model.

        Args:
            other: a codec that was fitted on the data to extend this one for.
        """
        changed = {name: getattr(other, name) for name in self.ANSWERS}
        for name in self.state:
            own = getattr(self, name)
            # An empty vocabulary is not in use.
            if isinstance(own, Vocabulary) and own and name != "vector_words":
                changed[name] = own.extended(getattr(other, name))
        return replace(self, **changed)

    def based_on(self, codec: LanguageModelingCodec) -> Self:
        """This codec with the tokens of a language model before its own ones, so that they keep their ids.

        Raises:
            ZooError: models with this codec cannot start from a language model, or not from this one.
        """
        raise ZooError(f"a model that reads by a {type(self).__name__} cannot start from a language model")

    def with_labels(self, labels: Sequence[str]) -> Self:
        """This codec with other labels.

        Raises:
            ZooError: models with this codec have no labels.
        """
        raise ZooError(f"expected a model with labels, got one that reads by a {type(self).__name__}: leave labels out")

    def differences(self, other: Codec, *, ours: str, theirs: str) -> str:
        """Describes the differences between two codecs of one task; empty if they are equal.

        Args:
            other: the codec to compare with.
            ours: the owner of this codec, as the description calls it.
            theirs: the owner of the other codec.
        """
        mine, others = self.state, other.state
        names = [name for name in mine if mine[name] != others[name]]
        described = [
            f"{name} {_difference(mine[name], others[name], ours=ours, theirs=theirs)}" for name in names[:DESCRIBED]
        ]
        if len(names) > DESCRIBED:
            described.append("and so do " + ", ".join(names[DESCRIBED:]))
        return "; ".join(described)

    def __deepcopy__(self, memo: dict[int, object]) -> Codec:
        # A codec is immutable and its vocabularies are large, so copies share it.
        return self

    def _convert(self, kind: Callable[[Any], object], *names: str) -> None:
        """Converts fields to their declared type `kind`; a plain state has lists in their place."""
        for name in names:
            value = getattr(self, name)
            if type(value) is not kind:
                object.__setattr__(self, name, kind(value))


def sorted_tuple(values: Iterable[str]) -> tuple[str, ...]:
    """The distinct strings of `values`, sorted."""
    return tuple(sorted(set(values)))


def _plain(value: object) -> object:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [item.state if isinstance(item, Codec) else item for item in value]


def _difference(mine: object, others: object, *, ours: str, theirs: str) -> str:
    if not isinstance(mine, list) or not isinstance(others, list):
        return f"is {_short(mine)} in {ours} and {_short(others)} in {theirs}"
    if len(mine) != len(others):
        return f"has {len(mine):,} entries in {ours} and {len(others):,} in {theirs}"
    pairs = enumerate(zip_longest(mine, others))
    place, (one, other) = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
    return f"has {_short(one)} in {ours} and {_short(other)} in {theirs} at place {place}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."
