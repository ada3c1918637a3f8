"""Makes CoNLL-U from text. The output passes validation levels 1 and 2 of Universal Dependencies.

See https://universaldependencies.org/format.html.
"""

from __future__ import annotations

from collections.abc import Sequence

from datamodules.readers.conllu import ConlluSentence

SPACE_AFTER = "SpaceAfter=No"


def conllu_of(content: str | Sequence[str], words: Sequence[str], number: int) -> ConlluSentence:
    """A sentence of at least one word, without its tags.

    The sentence has no parse, but the format requires a part of speech and a tree. Therefore every word has the tag `X`
    and depends on the first word as `dep`; both stand for unspecified values.

    Args:
        content: the text, or a list of words that are joined with spaces.
        words: the words of the text, in order.
        number: the number of the sentence, from 1.
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
    """Whether white space follows each word in the text. For the last word this is always true."""
    if not isinstance(content, str):
        return [True] * len(words)
    spaces = []
    end = 0
    for place, word in enumerate(words):
        start = content.find(word, end)
        gap = start > end or start < 0
        if place:
            spaces.append(gap)
        end = start + len(word) if start >= 0 else end
    return [*spaces, True]
