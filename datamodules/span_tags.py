"""The tags of a corpus as those of spans: which scheme they are of, which of them are not, and their conversion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from zoo.errors import ZooError
from zoo.text.tag_schemes import SCHEMES, convert, detect_scheme, strange_tags, tags_of

SHOWN = 5  # tags in a message


def scheme_of(sentences: Sequence[TaggedSentence], expected: str | None) -> str | None:
    """The scheme of most tags; where none mark spans, but could (`O` alone), the one expected; else None."""
    tags = Counter(chain.from_iterable(sentence.tags for sentence in sentences))
    found = detect_scheme(tags.elements())
    return expected if found is None and expected and not strange_tags(tags, expected) else found


def check_tags(sentences: Sequence[TaggedSentence], scheme: str, path: str | Path) -> None:
    """Refuses tags that cannot belong to a scheme: with one of them among thousands, none would mark spans.

    Raises:
        DataError: there are some; the first one's line is named.
    """
    counts = Counter(chain.from_iterable(sentence.tags for sentence in sentences))
    strange = strange_tags(counts, scheme)
    if not strange:
        return
    places = (
        (line, tag)
        for sentence in sentences
        for line, tag in zip(sentence.lines, sentence.tags, strict=True)
        if tag in strange
    )
    line, first = next(places)
    listed = ", ".join(f"{tag[:40]!r} ({counts[tag]} times)" for tag in strange[:SHOWN])
    more = f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else ""
    fitting = [name for name in SCHEMES if not strange_tags(counts, name)]
    hint = f"All fit into --data.scheme {fitting[0]}. " if fitting else ""
    raise DataError(
        f"{path}:{line}: expected a tag of scheme {scheme} ({tags_of(scheme)}), got {first[:40]!r}. "
        f"Strange here: {listed}{more}. {hint}Mend them, or train on the tags as they are, without spans, with "
        "--data.scheme none"
    )


def convert_all(
    sentences: Sequence[TaggedSentence], source: str, target: str, path: str | Path
) -> list[TaggedSentence]:
    """The sentences with their spans written in another scheme.

    Raises:
        DataError: a sentence's tags are illegal in their own; its first line is named.
    """
    converted = []
    for number, sentence in enumerate(sentences, 1):
        try:
            tags = convert(sentence.tags, source, target)
        except ZooError as error:
            raise DataError(f"{path}:{sentence.lines[0]}: sentence {number}: {error}") from error
        converted.append(replace(sentence, tags=tuple(tags)))
    return converted


def without_key_outside(sentences: Sequence[TaggedSentence]) -> list[TaggedSentence]:
    """A word without the key in which others have their span (CoNLL-U's `misc:NER`) is outside of any."""
    return [replace(s, tags=tuple("O" if tag == "_" else tag for tag in s.tags)) for s in sentences]
