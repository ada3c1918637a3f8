"""CoNLL-U made of text: what https://universaldependencies.org/format.html asks of a file at its first two levels."""

from __future__ import annotations

from collections.abc import Sequence

from datamodules.readers.conllu import ConlluSentence

SPACE_AFTER = "SpaceAfter=No"


def conllu_of(content: str | Sequence[str], words: Sequence[str], number: int) -> ConlluSentence:
    """A sentence of at least one word, whose tags are still to be filled in.

    Nobody has parsed it, but the format wants a part of speech and a tree: each word is an `X` and hangs on the first
    one as `dep`, which both say that nothing more is known.

    Args:
        content: the text, or words with a space after each.
        words: those of the text, in its order.
        number: its place among the sentences, from 1.
    """
    spaces = _spaces_after(content, words)
    text = "".join(word + " " * space for word, space in zip(words, spaces, strict=True)).rstrip(" ")
    lines = [f"# sent_id = {number}\n", f"# text = {text}\n"]
    for place, (word, space) in enumerate(zip(words, spaces, strict=True), 1):
        head, relation = ("0", "root") if place == 1 else ("1", "dep")
        misc = "_" if space else SPACE_AFTER
        lines.append("\t".join([str(place), word, "_", "X", "_", "_", head, relation, "_", misc]) + "\n")
    return ConlluSentence([*lines, "\n"], list(range(2, len(lines))), "-", 1)


def _spaces_after(content: str | Sequence[str], words: Sequence[str]) -> list[bool]:
    """Whether white space follows each word in its text; it does the last one."""
    if not isinstance(content, str):
        return [True] * len(words)
    spaces, end = [], 0
    for place, word in enumerate(words):
        start = content.find(word, end)
        gap = start > end or start < 0
        if place:
            spaces.append(gap)
        end = start + len(word) if start >= 0 else end
    return [*spaces, True]
