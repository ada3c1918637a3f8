"""Tag schemes: how a sequence of tags writes down labelled spans, such as the names in a sentence.

| scheme | a lone token | a longer span         | note                                                     |
|--------|--------------|-----------------------|----------------------------------------------------------|
| BIO    | `B-x`        | `B-x I-x ... I-x`     | also called IOB2                                         |
| IOB1   | `I-x`        | `I-x I-x ... I-x`     | `B-x` opens a span only right behind another of its label |
| BIOES  | `S-x`        | `B-x I-x ... E-x`     | also called IOBES                                        |
| BMES   | `S-x`        | `B-x M-x ... E-x`     | usual for Chinese                                        |

`O` is outside of any span. A label may hold hyphens, or be missing: word segmentation has bare
`B`, `M`, `E`, `S`.

Three rules about two neighbouring tags say all about a scheme: `_opens`, `_continues`, `_closes`. Which spans
there are, what is legal and which transitions a CRF may take follow from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zoo.errors import ZooError, unknown_name


class Span(NamedTuple):
    """Tokens `start` to `end` (exclusive) carry `label`."""

    start: int
    end: int
    label: str


class Transitions(NamedTuple):
    """What is legal in an inventory of K tags: `start[i]`, `end[i]`, and `pairs[i][j]` for i before j."""

    start: list[bool]
    end: list[bool]
    pairs: list[list[bool]]


class _Tag(NamedTuple):
    prefix: str
    label: str


class _Letters(NamedTuple):
    """The prefixes of a scheme by the place of a token in its span; `divider` parts spans of one label."""

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
}
_OUTSIDE = _Tag("O", "")

SCHEMES = tuple(_LETTERS)


def spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The well-formed spans of `tags`; pieces that break the scheme make none (seqeval's strict mode).

    Raises:
        ValueError: the scheme is unknown, or a tag cannot belong to it.
    """
    letters = _letters(scheme)
    found, start, previous = [], None, _OUTSIDE
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
    """The same spans, written in another scheme. There and back is the identity.

    Raises:
        ValueError: `tags` is illegal in `source` (the message names the position and the tag), or a scheme is
            unknown.
    """
    letters = _letters(target)
    _check_legal(tags, source)
    converted = ["O"] * len(tags)
    previous = None
    for span in spans(tags, source):
        prefixes = _prefixes(letters, span.end - span.start)
        if letters.divider and previous and (previous.end, previous.label) == (span.start, span.label):
            prefixes[0] = letters.divider
        written = [f"{prefix}-{span.label}" if span.label else prefix for prefix in prefixes]
        converted[span.start : span.end] = written
        previous = span
    return converted


def is_legal(tags: Sequence[str], scheme: str) -> bool:
    """Whether `tags` could be written by `scheme`."""
    try:
        _check_legal(tags, scheme)
    except ZooError:
        return False
    return True


def transitions(tags: Sequence[str], scheme: str) -> Transitions:
    """Which of `tags` may start a sequence, end one, and follow one another in a legal sequence of `scheme`.

    Raises:
        ValueError: the scheme is unknown, or a tag cannot belong to it.
    """
    letters = _letters(scheme)
    parsed = _parse(tags, scheme)
    return Transitions(
        start=[_may_follow(letters, _OUTSIDE, tag) for tag in parsed],
        end=[_may_follow(letters, tag, _OUTSIDE) for tag in parsed],
        pairs=[[_may_follow(letters, before, after) for after in parsed] for before in parsed],
    )


def detect_scheme(tags: Iterable[str]) -> str | None:
    """The scheme that an inventory of tags must be of, or None if they write no spans (parts of speech, say).

    `M-` makes BMES; `E-` or `S-` make BIOES. With `B-` and `I-` alone it is BIO, unless a label has an `I-`
    and no `B-`, which no legal BIO sequence could hold: then it is IOB1 (CoNLL-2003 has no `B-PER`).
    """
    parsed = [_split(tag) for tag in tags]
    prefixes = {tag.prefix for tag in parsed if tag is not None} - {"O"}
    if None in parsed or not prefixes or prefixes >= {"I", "M"}:
        return None
    if "M" in prefixes:
        return "BMES"
    if prefixes & {"E", "S"}:
        return "BIOES"
    begun = {tag.label for tag in parsed if tag.prefix == "B"}
    return "BIO" if all(tag.label in begun for tag in parsed if tag.prefix == "I") else "IOB1"


def _opens(letters: _Letters, previous: _Tag, tag: _Tag) -> bool:
    """Can `tag` begin a span, given that it does not continue the one before?"""
    if letters.divider and tag.prefix == letters.divider:
        return previous != _OUTSIDE and previous.label == tag.label
    return tag.prefix in (letters.first, letters.lone)


def _continues(letters: _Letters, previous: _Tag, tag: _Tag) -> bool:
    """Is `tag` one more token of the span that `previous` is in?"""
    unfinished = previous.prefix in (letters.first, letters.inside, letters.divider)
    return unfinished and tag.prefix in (letters.inside, letters.last) and tag.label == previous.label


def _closes(letters: _Letters, previous: _Tag, tag: _Tag) -> bool:
    """Is the span that ends with `previous` complete, `tag` being the first token behind it?"""
    if letters.divider and previous.prefix == tag.prefix == letters.divider:
        # As in seqeval: a divider that divides nothing spoils the one before.
        return previous.label == tag.label
    return previous.prefix in (letters.last, letters.lone, letters.divider)


def _may_follow(letters: _Letters, before: _Tag, after: _Tag) -> bool:
    between_spans = before == _OUTSIDE or _closes(letters, before, after)
    begins_anew = after == _OUTSIDE or _opens(letters, before, after)
    return _continues(letters, before, after) or (between_spans and begins_anew)


def _prefixes(letters: _Letters, length: int) -> list[str]:
    if length == 1:
        return [letters.lone]
    return [letters.first, *[letters.inside] * (length - 2), letters.last]


def _letters(scheme: str) -> _Letters:
    if scheme not in _LETTERS:
        raise unknown_name("tag scheme", scheme, SCHEMES)
    return _LETTERS[scheme]


def _split(tag: str) -> _Tag | None:
    """`B-a-b` is prefix `B`, label `a-b`; None for what is no tag of any scheme."""
    if tag == "O":
        return _OUTSIDE
    prefix, hyphen, label = tag.partition("-")
    if prefix not in ("B", "I", "M", "E", "S") or (hyphen and not label):
        return None
    return _Tag(prefix, label)


def _parse(tags: Sequence[str], scheme: str) -> list[_Tag]:
    letters = _letters(scheme)
    known = {*letters, "O"} - {""}
    parsed = [_split(tag) for tag in tags]
    for position, tag in enumerate(parsed):
        if tag is None or tag.prefix not in known:
            expected = ", ".join("O" if prefix == "O" else f"{prefix}-<label>" for prefix in sorted(known))
            where = f"tag {tags[position]!r} at position {position}"
            raise ZooError(f"{where} is not of scheme {scheme}, whose tags are {expected}")
    return parsed


def _check_legal(tags: Sequence[str], scheme: str) -> None:
    letters = _letters(scheme)
    parsed = [_OUTSIDE, *_parse(tags, scheme), _OUTSIDE]
    for position in range(len(tags) + 1):
        before, after = parsed[position], parsed[position + 1]
        if not _may_follow(letters, before, after):
            what = f"{tags[position]!r}" if position < len(tags) else "the end of the sequence"
            behind = f"behind {tags[position - 1]!r}" if position else "at the start of the sequence"
            raise ZooError(f"position {position}: {what} is illegal in scheme {scheme} {behind}")
