"""The tags of a corpus as spans: which scheme they are in, which tags do not belong to it, and their conversion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from zoo.errors import ZooError
from zoo.text.tag_schemes import SCHEMES, convert, detect_scheme, strange_tags, tags_of

# The number of tags that a message lists.
TAGS_SHOWN = 5
# The user's name for tags that mark no spans: every tag stands for itself.
NO_SCHEME = "none"


class SpanConversion:
    """Converts the tags of a corpus from one scheme to another.

    Args:
        source: the scheme of the corpus: a key of `zoo.text.tag_schemes.SCHEMES`, or `NO_SCHEME`; None if the first
            sentences to convert tell it.
        target: the scheme to convert to; None to leave the tags as they are.
        keyed: whether the tags are in a key of a CoNLL-U column, such as "misc:NER". Words without the key are outside
            of any span.
    """

    def __init__(self, source: str | None, target: str | None, *, keyed: bool):
        self.source = source
        self.target = target
        self.keyed = keyed

    @property
    def scheme(self) -> str | None:
        """The scheme after conversion; None if the tags mark no spans, or as long as nothing is known of them."""
        if self.target is not None or self.source == NO_SCHEME:
            return self.target
        return self.source

    def convert(
        self, sentences: list[TaggedSentence], path: str | Path, expected: str | None = None
    ) -> list[TaggedSentence]:
        """The sentences with converted tags.

        Args:
            sentences: the sentences as the file has them.
            path: the file, for messages.
            expected: the scheme of the corpus if none is given; by default the one that most tags follow.

        Raises:
            DataError: a tag does not belong to the scheme of the corpus, or there is none to convert from.
        """
        if self.source is None:
            self.source = expected or scheme_of(sentences, self.target) or NO_SCHEME
        if self.source == NO_SCHEME:
            if self.target is not None:
                raise DataError(f"{path}: --data.convert_to {self.target} needs span tags, but these mark no spans")
            return sentences
        if self.keyed:
            sentences = without_key_outside(sentences)
        check_tags(sentences, self.source, path)
        if self.target is None or self.target == self.source:
            return sentences
        return convert_all(sentences, self.source, self.target, path)


def scheme_of(sentences: Sequence[TaggedSentence], expected: str | None) -> str | None:
    """The scheme that most tags follow; None if the tags do not mark spans.

    >>> scheme_of([TaggedSentence(("Lena", "Meyer", "sings"), ("B-PER", "I-PER", "O"))], expected=None)
    'BIO'

    Args:
        sentences: the sentences of a corpus.
        expected: the scheme to assume if it allows all tags but none of them marks a span, as when all are `O`.
    """
    counts = Counter(_tags_of(sentences))
    found = detect_scheme(counts.elements())
    if found is None and expected and not strange_tags(counts, expected):
        return expected
    return found


def check_tags(sentences: Sequence[TaggedSentence], scheme: str, path: str | Path) -> None:
    """Checks that all tags belong to a scheme, so that one wrong tag does not turn all tags into plain ones.

    Raises:
        DataError: a tag does not belong to the scheme. The message names the line of the first such tag.
    """
    counts = Counter(_tags_of(sentences))
    strange = strange_tags(counts, scheme)
    if not strange:
        return
    line, tag = _first_place(sentences, strange)
    fitting = [name for name in SCHEMES if not strange_tags(counts, name)]
    hint = f"All tags fit --data.scheme {fitting[0]}. " if fitting else ""
    raise DataError(
        f"{path}:{line}: expected a tag of scheme {scheme} ({tags_of(scheme)}), got {tag[:40]!r}. "
        f"Tags outside of the scheme: {_listed(strange, counts)}. {hint}Correct them, or train on plain tags without "
        "spans with --data.scheme none"
    )


def convert_all(
    sentences: Sequence[TaggedSentence], source: str, target: str, path: str | Path
) -> list[TaggedSentence]:
    """The sentences with their tags converted from one scheme to another.

    In IOB1, a `B-` that separates nothing is read as `I-`, as evaluators read the two that CoNLL-2003 has.

    >>> lena = TaggedSentence(("Lena", "Meyer", "sings"), ("B-PER", "I-PER", "O"), lines=(1, 2, 3))
    >>> convert_all([lena], "BIO", "BIOES", path="names.txt")[0].tags
    ('B-PER', 'E-PER', 'O')

    Raises:
        DataError: the tags of a sentence are illegal in the source scheme. The message names its first line.
    """
    converted = []
    for sentence in sentences:
        try:
            written = without_needless_dividers(sentence.tags) if source == "IOB1" else sentence.tags
            tags = convert(written, source, target)
        except ZooError as error:
            raise DataError(f"{path}:{sentence.lines[0]}: {error}") from error
        converted.append(replace(sentence, tags=tuple(tags)))
    return converted


def without_needless_dividers(tags: Sequence[str]) -> list[str]:
    """Tags of IOB1 with `I-` instead of each `B-` that is not right behind a tag of its label.

    >>> without_needless_dividers(["O", "B-MISC", "I-MISC", "B-MISC"])
    ['O', 'I-MISC', 'I-MISC', 'B-MISC']
    """
    found = []
    for before, tag in pairwise(["O", *tags]):
        prefix, label = tag[:1], tag[1:]
        separates = before != "O" and before[1:] == label
        found.append(f"I{label}" if prefix == "B" and not separates else tag)
    return found


def without_key_outside(sentences: Sequence[TaggedSentence]) -> list[TaggedSentence]:
    """The sentences with `O` instead of `_`: a word without the key, such as `misc:NER`, is outside of any span."""
    converted = []
    for sentence in sentences:
        tags = tuple("O" if tag == "_" else tag for tag in sentence.tags)
        converted.append(replace(sentence, tags=tags))
    return converted


def _tags_of(sentences: Sequence[TaggedSentence]) -> Iterator[str]:
    return (tag for sentence in sentences for tag in sentence.tags)


def _first_place(sentences: Sequence[TaggedSentence], strange: Sequence[str]) -> tuple[int, str]:
    """The line of the first tag that is in `strange`, and this tag."""
    for sentence in sentences:
        for line, tag in zip(sentence.lines, sentence.tags, strict=True):
            if tag in strange:
                return line, tag
    raise LookupError("no sentence has one of these tags")


def _listed(tags: Sequence[str], counts: Mapping[str, int]) -> str:
    """Tags and their counts, for a message."""
    listed = ", ".join(f"{tag[:40]!r} ({counts[tag]} times)" for tag in tags[:TAGS_SHOWN])
    return listed + (f" and {len(tags) - TAGS_SHOWN} more" if len(tags) > TAGS_SHOWN else "")
