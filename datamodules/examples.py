"""What the readers yield: one example of a task, as it stands in its file.

Pairs of texts are the third kind: `zoo.batches.seq2seq.Pair`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """The tokens of a sentence with one tag each.

    `lines` are the line numbers of the tokens in their file. They are empty where the sentence comes from no file, and
    two sentences that differ only in them are equal.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    lines: tuple[int, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text with its labels, and the number of its line or row in its file.

    There is one label, unless the task is to find several.
    """

    text: str
    labels: tuple[str, ...]
    line: int
