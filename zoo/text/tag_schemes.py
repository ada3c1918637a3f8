"""Tag schemes: how a sequence of tags writes down labelled spans, such as the names in a sentence.

| scheme | a lone token | a longer span         | note                                                     |
|--------|--------------|-----------------------|----------------------------------------------------------|
| BIO    | `B-x`        | `B-x I-x ... I-x`     | also called IOB2                                         |
| IOB1   | `I-x`        | `I-x I-x ... I-x`     | `B-x` opens a span only right behind another of its label |
| BIOES  | `S-x`        | `B-x I-x ... E-x`     | also called IOBES                                        |
| BMES   | `S-x`        | `B-x M-x ... E-x`     | usual for Chinese                                        |
| BILOU  | `U-x`        | `B-x I-x ... L-x`     | also called BILUO                                        |

`O` is outside of any span. A label may hold hyphens, or be missing: word segmentation has bare
`B`, `M`, `E`, `S`.

Three rules about two neighbouring tags say all about a scheme: `_opens`, `_continues`, `_closes`. Which spans
there are, what is legal and which transitions a CRF may take follow from them.
"""

from __future__ import annotations

import re
from collections import Counter
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
    "BILOU": _Letters(lone="U", first="B", inside="I", last="L"),
}
_OUTSIDE = _Tag("O", "")
_PREFIXES = frozenset(letter for letters in _LETTERS.values() for letter in letters if letter)
_AS_HYPHEN = re.compile(f"^([{''.join(sorted(_PREFIXES))}])[_:/.–—](?=.)")  # what some write for the hyphen

SCHEMES = tuple(_LETTERS)
BARE = 0.95  # of all tokens: so many have bare letters where they mark spans, and a slip of the pen is left to the rest


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
    """The scheme that most tags of a corpus are of, or None if they write no spans (parts of speech, say).

    They write spans where half of the different tags, or half of all, look like those of spans, be it with another
    sign in the place of the hyphen (`B_PER`). Some may be of no scheme, or of another one: `strange_tags` finds them.
    Bare letters are also parts of speech (`M`, `S`): without any label they write spans only where nearly all do.

    Args:
        tags: the tag of each token. How often a tag occurs tells a slip of the pen from a scheme.
    """
    counts = Counter(tags)
    lenient = {tag: _split(_AS_HYPHEN.sub(r"\1-", tag)) for tag in counts}
    found = {tag: parsed for tag, parsed in lenient.items() if parsed is not None}
    labelled = any(parsed.label for parsed in found.values())
    if not any(parsed != _OUTSIDE for parsed in found.values()):
        return None
    tokens = sum(counts[tag] for tag in found)
    if labelled:
        are_spans = 2 * len(found) >= len(counts) or 2 * tokens >= counts.total()
    else:
        are_spans = tokens >= BARE * counts.total() and (len(found) == len(counts) or "B" in found)
    if not are_spans:
        return None
    begun = {parsed.label for parsed in found.values() if parsed.prefix == "B"}
    letters, unbegun = Counter(), 0
    for tag, parsed in found.items():
        letters[parsed.prefix] += counts[tag]
        if parsed.prefix == "I" and parsed.label not in begun:
            unbegun += counts[tag]
    return _scheme_of(letters, unbegun)


def _scheme_of(letters: Counter[str], unbegun: int) -> str:
    """The scheme that these numbers of prefixes tell; `unbegun` of the `I-` are of labels that have no `B-`.

    Where spans have an end, there are as many ends as beginnings: a few ends among many beginnings are mistakes.
    BIO cannot hold a label without a `B-`, IOB1 has few of them (CoNLL-2003 has no `B-PER`).
    """
    family, last, lone = max((("E", "E", "S"), ("L", "L", "U")), key=lambda ends: letters[ends[1]] + letters[ends[2]])
    ends, beginnings = letters[last] + letters[lone], letters["B"] + letters[lone]
    if ends and 2 * ends >= beginnings:
        if family == "L":
            return "BILOU"
        return "BMES" if letters["M"] > letters["I"] else "BIOES"
    if letters["M"] > letters["I"]:
        return "BMES"
    return "IOB1" if unbegun and unbegun >= letters["B"] else "BIO"


def strange_tags(tags: Iterable[str], scheme: str) -> list[str]:
    """Those of `tags` that cannot belong to `scheme`, each once, in the order in which they come.

    Raises:
        ValueError: the scheme is unknown.
    """
    known = _prefixes_of(_letters(scheme))
    return [tag for tag in dict.fromkeys(tags) if (parsed := _split(tag)) is None or parsed.prefix not in known]


def tags_of(scheme: str) -> str:
    """What the tags of a scheme look like, for a message: `B-<label>, I-<label>, O`.

    Raises:
        ValueError: the scheme is unknown.
    """
    known = sorted(_prefixes_of(_letters(scheme)))
    return ", ".join("O" if prefix == "O" else f"{prefix}-<label>" for prefix in known)


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
    if prefix not in _PREFIXES or (hyphen and not label):
        return None
    return _Tag(prefix, label)


def _prefixes_of(letters: _Letters) -> set[str]:
    return {*letters, "O"} - {""}


def _parse(tags: Sequence[str], scheme: str) -> list[_Tag]:
    known = _prefixes_of(_letters(scheme))
    parsed = [_split(tag) for tag in tags]
    for position, tag in enumerate(parsed):
        if tag is None or tag.prefix not in known:
            where = f"tag {tags[position]!r} at position {position}"
            raise ZooError(f"{where} is not of scheme {scheme}, whose tags are {tags_of(scheme)}")
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
