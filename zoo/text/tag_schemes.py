"""Tag schemes: how a sequence of tags writes down labelled spans, such as the names in a sentence.

| scheme | a lone token | a longer span         | note                                                     |
|--------|--------------|-----------------------|----------------------------------------------------------|
| BIO    | `B-x`        | `B-x I-x ... I-x`     | also called IOB2                                         |
| IOB1   | `I-x`        | `I-x I-x ... I-x`     | `B-x` only opens a span right behind one of its label   |
| BIOES  | `S-x`        | `B-x I-x ... E-x`     | also called IOBES                                        |
| BMES   | `S-x`        | `B-x M-x ... E-x`     | usual for Chinese                                        |
| BILOU  | `U-x`        | `B-x I-x ... L-x`     | also called BILUO                                        |

`O` is outside of all spans. A label may contain hyphens, or be missing: word segmentation has bare `B`, `M`, `E`, `S`.

Three rules about two neighbouring tags define a scheme: `_opens`, `_continues` and `_closes`. The spans of a sequence,
its legality and the transitions that a CRF may take follow from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from zoo.errors import ZooError, unknown_name


class Span(NamedTuple):
    """The tokens from `start` to `end` (exclusive) carry `label`."""

    start: int
    end: int
    label: str


class Transitions(NamedTuple):
    """What is legal with K tags."""

    start: list[bool]  # (K,) whether a sequence may start with the tag
    end: list[bool]  # (K,) whether a sequence may end with the tag
    pairs: list[list[bool]]  # (K, K) whether the tag of the column may follow that of the row


class _Tag(NamedTuple):
    prefix: str
    label: str


class _Letters(NamedTuple):
    """The prefixes of a scheme by the position of a token in its span; a `divider` separates spans of one label."""

    lone: str
    first: str
    inside: str
    last: str
    divider: str = ""


_LETTERS = {
    "BIO": _Letters(lone="B", first="B", inside="I", last="I"),
    "IOB1": _Letters(lone="I", first="I", inside="I", last="I", divider="B"),
    "BIOES": _Letters(lone="S", first="B", inside="I", last="E"),
    "BMES": _Letters(lone="S", first="B", inside="M", last="E"),
    "BILOU": _Letters(lone="U", first="B", inside="I", last="L"),
}
_OUTSIDE = _Tag("O", "")
_PREFIXES = frozenset(letter for letters in _LETTERS.values() for letter in letters if letter)
# Some corpora have another character in place of the hyphen.
_AS_HYPHEN = re.compile(f"^([{''.join(sorted(_PREFIXES))}])[_:/.–—](?=.)")

SCHEMES = tuple(_LETTERS)
# Tags without labels mark spans only if at least this fraction of all tokens has them: the rest are typing errors.
UNLABELLED_FRACTION = 0.95


def spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The well-formed spans of a sequence; tags that break the scheme form none, as in seqeval's strict mode.

    >>> spans(["B-PER", "I-PER", "O", "I-LOC"], "BIO")
    [Span(start=0, end=2, label='PER')]

    Raises:
        ZooError: the scheme is unknown, or a tag does not belong to it.
    """
    letters = _letters(scheme)
    found = []
    start = None
    previous = _OUTSIDE
    for position, tag in enumerate([*_parse(tags, scheme), _OUTSIDE]):
        if start is not None and not _continues(letters, previous, tag):
            if _closes(letters, previous, tag):
                found.append(Span(start, position, previous.label))
            start = None
        if start is None and _opens(letters, previous, tag):
            start = position
        previous = tag
    return found


def convert(tags: Sequence[str], source: str, target: str) -> list[str]:
    """The tags of the same spans in another scheme; converting back restores the sequence.

    >>> convert(["B-PER", "I-PER", "O", "B-LOC"], "BIO", "BIOES")
    ['B-PER', 'E-PER', 'O', 'S-LOC']

    Raises:
        ZooError: a scheme is unknown, or the sequence is illegal in `source` (the message names the position and the
            tag).
    """
    letters = _letters(target)
    _check_legal(tags, source)
    converted = ["O"] * len(tags)
    previous = None
    for span in spans(tags, source):
        prefixes = _prefixes(letters, span.end - span.start)
        touches = previous is not None and previous.end == span.start and previous.label == span.label
        if letters.divider and touches:
            prefixes[0] = letters.divider
        converted[span.start : span.end] = [f"{prefix}-{span.label}" if span.label else prefix for prefix in prefixes]
        previous = span
    return converted


def is_legal(tags: Sequence[str], scheme: str) -> bool:
    """Whether a sequence follows the rules of a scheme."""
    try:
        _check_legal(tags, scheme)
    except ZooError:
        return False
    return True


def transitions(tags: Sequence[str], scheme: str) -> Transitions:
    """Which of K tags may start, end and follow one another in a legal sequence.

    Raises:
        ZooError: the scheme is unknown, or a tag does not belong to it.
    """
    letters = _letters(scheme)
    parsed = _parse(tags, scheme)
    return Transitions(
        start=[_may_follow(letters, _OUTSIDE, tag) for tag in parsed],
        end=[_may_follow(letters, tag, _OUTSIDE) for tag in parsed],
        pairs=[[_may_follow(letters, before, after) for after in parsed] for before in parsed],
    )


def detect_scheme(tags: Iterable[str]) -> str | None:
    """The scheme of most tags of a corpus; None if the tags mark no spans, as parts of speech.

    >>> detect_scheme(["O", "B-PER", "I-PER", "O"]), detect_scheme(["NOUN", "VERB"])
    ('BIO', None)

    Tags mark spans if at least half of the different tags, or of all tokens, look like tags of spans; the hyphen may be
    another character (`B_PER`). The other tags may belong to no scheme or another one: `strange_tags` finds them. Tags
    without labels (`M`, `S`) may also be parts of speech: they mark spans only if nearly all tokens have such tags.
    `tags` has the tag of every token, because the counts tell typing errors from a scheme.
    """
    counts = Counter(tags)
    parsed = {tag: _split(_AS_HYPHEN.sub(r"\1-", tag), _PREFIXES) for tag in counts}
    found = {tag: parts for tag, parts in parsed.items() if parts is not None}
    if all(parts == _OUTSIDE for parts in found.values()) or not _mark_spans(found, counts):
        return None
    return _scheme_of(found, counts)


def _mark_spans(found: Mapping[str, _Tag], counts: Counter[str]) -> bool:
    """Whether the tags `found` that look like those of spans are enough of all tags."""
    tokens = sum(counts[tag] for tag in found)
    if any(parts.label for parts in found.values()):
        return 2 * len(found) >= len(counts) or 2 * tokens >= counts.total()
    return tokens >= UNLABELLED_FRACTION * counts.total() and (len(found) == len(counts) or "B" in found)


def _scheme_of(found: Mapping[str, _Tag], counts: Counter[str]) -> str:
    """The scheme that the frequencies of the prefixes suggest.

    In a scheme that marks ends there are as many ends as beginnings; a few ends among many beginnings are mistakes. In
    BIO every label has a `B-`; in IOB1 few labels have one (CoNLL-2003 has no `B-PER`).
    """
    prefixes = Counter[str]()
    for tag, parts in found.items():
        prefixes[parts.prefix] += counts[tag]
    bilou = prefixes["L"] + prefixes["U"] > prefixes["E"] + prefixes["S"]
    last, lone = ("L", "U") if bilou else ("E", "S")
    ends = prefixes[last] + prefixes[lone]
    beginnings = prefixes["B"] + prefixes[lone]
    marks_ends = ends > 0 and 2 * ends >= beginnings
    if marks_ends and bilou:
        return "BILOU"
    if prefixes["M"] > prefixes["I"]:
        return "BMES"
    if marks_ends:
        return "BIOES"
    labels_with_b = {parts.label for parts in found.values() if parts.prefix == "B"}
    inside_without_b = sum(
        counts[tag] for tag, parts in found.items() if parts.prefix == "I" and parts.label not in labels_with_b
    )
    return "IOB1" if inside_without_b > 0 and inside_without_b >= prefixes["B"] else "BIO"


def strange_tags(tags: Iterable[str], scheme: str) -> list[str]:
    """The tags that do not belong to a scheme, each once, in the order of their first occurrence.

    Raises:
        ZooError: the scheme is unknown.
    """
    prefixes = _prefixes_of(_letters(scheme))
    return [tag for tag in dict.fromkeys(tags) if _split(tag, prefixes) is None]


def tags_of(scheme: str) -> str:
    """A description of a scheme's tags for a message: `B-<label>, I-<label>, O`.

    Raises:
        ZooError: the scheme is unknown.
    """
    prefixes = _prefixes_of(_letters(scheme))
    return ", ".join("O" if prefix == "O" else f"{prefix}-<label>" for prefix in sorted({*prefixes, "O"}))


def _opens(letters: _Letters, previous: _Tag, tag: _Tag) -> bool:
    """Whether `tag` begins a span, given that it does not continue the one before."""
    if letters.divider and tag.prefix == letters.divider:
        return previous != _OUTSIDE and previous.label == tag.label
    return tag.prefix in (letters.first, letters.lone)


def _continues(letters: _Letters, previous: _Tag, tag: _Tag) -> bool:
    """Whether `tag` is one more token of the span of `previous`."""
    unfinished = previous.prefix in (letters.first, letters.inside, letters.divider)
    return unfinished and tag.prefix in (letters.inside, letters.last) and tag.label == previous.label


def _closes(letters: _Letters, previous: _Tag, tag: _Tag) -> bool:
    """Whether the span that ends with `previous` is complete, if `tag` comes next."""
    if letters.divider and previous.prefix == tag.prefix == letters.divider:
        # As in seqeval, a divider between different labels makes the span before it incomplete.
        return previous.label == tag.label
    return previous.prefix in (letters.last, letters.lone, letters.divider)


def _may_follow(letters: _Letters, before: _Tag, after: _Tag) -> bool:
    if _continues(letters, before, after):
        return True
    is_complete = before == _OUTSIDE or _closes(letters, before, after)
    begins_anew = after == _OUTSIDE or _opens(letters, before, after)
    return is_complete and begins_anew


def _prefixes(letters: _Letters, length: int) -> list[str]:
    """The prefixes of a span's tokens."""
    if length == 1:
        return [letters.lone]
    return [letters.first, *[letters.inside] * (length - 2), letters.last]


def _letters(scheme: str) -> _Letters:
    if scheme not in _LETTERS:
        raise unknown_name("tag scheme", scheme, SCHEMES)
    return _LETTERS[scheme]


def _prefixes_of(letters: _Letters) -> set[str]:
    return {*letters} - {""}


def _split(tag: str, prefixes: Container[str]) -> _Tag | None:
    """The parts of a tag: `B-a-b` has prefix `B` and label `a-b`; None if it is neither `O` nor has such a prefix."""
    if tag == "O":
        return _OUTSIDE
    prefix, hyphen, label = tag.partition("-")
    if prefix not in prefixes or (hyphen and not label):
        return None
    return _Tag(prefix, label)


def _parse(tags: Sequence[str], scheme: str) -> list[_Tag]:
    prefixes = _prefixes_of(_letters(scheme))
    parsed = []
    for position, tag in enumerate(tags):
        parts = _split(tag, prefixes)
        if parts is None:
            raise ZooError(
                f"tag {tag!r} at position {position} is not of scheme {scheme}, whose tags are {tags_of(scheme)}"
            )
        parsed.append(parts)
    return parsed


def _check_legal(tags: Sequence[str], scheme: str) -> None:
    letters = _letters(scheme)
    parsed = [_OUTSIDE, *_parse(tags, scheme), _OUTSIDE]
    for position in range(len(tags) + 1):
        before = parsed[position]
        after = parsed[position + 1]
        if not _may_follow(letters, before, after):
            what = f"{tags[position]!r}" if position < len(tags) else "the end of the sequence"
            where = f"behind {tags[position - 1]!r}" if position else "at the start of the sequence"
            raise ZooError(f"position {position}: {what} is illegal in scheme {scheme} {where}")
