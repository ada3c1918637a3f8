"""Examples as the readers yield them, before they become ids.

Pairs of texts are in `zoo.batches.seq2seq`, as `Pair`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """The tokens of a sentence with one tag each.

    `lines` are the line numbers of the tokens in their file. They are empty if the sentence is not from a file. They
    are ignored when two sentences are compared.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    lines: tuple[int, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with its labels, and the number of its line or row in its file.

    It has exactly one label, unless the task is multi-label classification.
    """

    text: str
    labels: tuple[str, ...]
    line: int
