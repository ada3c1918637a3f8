"""How the lines of a column file are divided into columns, and which lines are comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError

POSSIBLE_COMMENT = re.compile(r"[ \t]*#([ \t]|$)|#(begin|end) document\b")
CERTAIN_COMMENTS = ("#begin document", "#end document")
# The largest number of columns in a message.
COLUMNS_SHOWN = 12


class Block(NamedTuple):
    """The lines of a sentence, without white space around them, and their line numbers."""

    lines: list[str]
    numbers: list[int]


class Layout:
    """How the lines of a file are divided into columns. The first line that is certainly a word decides.

    Args:
        path: the file.
        blocks: its sentences, comments included.

    Attributes:
        width: the number of columns.
        separated_by_tabs: whether only tabs separate columns.

    Raises:
        DataError: there is only one column.
    """

    def __init__(self, path: str | Path, blocks: Sequence[Block]):
        line, number = _first_certain_word(blocks)
        self.path = path
        self.first_line = number
        self.separated_by_tabs = "\t" in line
        self.first_row = self._split(line)
        self.width = len(self.first_row)
        if self.width < 2:
            raise DataError(
                f"{path}:{number}: expected a word and its tag in two columns or more, got {self.width} columns: "
                f"{line[:60]!r}. Separate columns with a space or a tab"
            )
        # The values of certain words in each column but the first, by which comments are told from words.
        self._known_values: list[set[str]] = [set() for _ in range(self.width)]
        if any(_count_possible_comments(block) for block in blocks):
            self._collect_values(blocks)

    def rows(self, block: Block) -> list[list[str]]:
        """The fields of each line.

        Raises:
            DataError: a line has more or fewer columns than the first.
        """
        rows = list(map(self._split, block.lines))
        for row, number in zip(rows, block.numbers, strict=True):
            if len(row) != self.width:
                raise self._other_width(len(row), number)
        return rows

    def without_comments(self, block: Block) -> Block:
        """A sentence without the comments before its first word."""
        start = _count_possible_comments(block)
        if not start:
            return block
        kept = [index for index, line in enumerate(block.lines) if index >= start or not self._is_comment(line)]
        return Block([block.lines[index] for index in kept], [block.numbers[index] for index in kept])

    def place(self, column: str | int, flag: str) -> int:
        """The index of a column; `flag` is the one that a user chooses it with.

        Raises:
            DataError: there is no such column.
        """
        try:
            place = int(column)
        except ValueError as error:
            raise DataError(
                f"{self}: expected a number for {flag} in a column file, 0 the first and -1 the last, got "
                f"{str(column)[:40]!r}; the columns here are {self.listed}. For CoNLL-U add --data.format conllu"
            ) from error
        if not -self.width <= place < self.width:
            raise DataError(
                f"{self}: expected a column {place} for {flag} (the first is 0, the last -1), got {self.width} "
                f"columns: {self.listed}"
            )
        return place

    @property
    def listed(self) -> str:
        """The columns of the first word, for a message."""
        listed = ", ".join(f"{place} {field[:20]!r}" for place, field in enumerate(self.first_row[:COLUMNS_SHOWN]))
        return listed + (", ..." if self.width > COLUMNS_SHOWN else "")

    def __str__(self) -> str:
        return f"{self.path}:{self.first_line}"

    def _split(self, line: str) -> list[str]:
        fields = line.split("\t") if self.separated_by_tabs else line.replace("\t", " ").split(" ")
        if self.separated_by_tabs and " " in line:
            fields = [field.strip(" ") for field in fields]
        return [field for field in fields if field] if "" in fields else fields

    def _collect_values(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            for line in block.lines[_count_possible_comments(block) :]:
                for values, value in zip(self._known_values[1:], self._split(line)[1:], strict=False):
                    values.add(value)

    def _is_comment(self, line: str) -> bool:
        """Whether a possible comment is one."""
        fields = self._split(line)
        if line.startswith(CERTAIN_COMMENTS) or len(fields) != self.width:
            return True
        if self.separated_by_tabs and fields[0] == "#":
            return False
        if not any(self._known_values):
            return False
        return not any(field in known for field, known in zip(fields, self._known_values, strict=True))

    def _other_width(self, width: int, number: int) -> DataError:
        if self.separated_by_tabs:
            hint = f"Tabs separate columns here, as there is one in line {self.first_line}"
        else:
            hint = "A word has no space inside where spaces separate columns"
        return DataError(
            f"{self.path}:{number}: expected {self.width} columns as in line {self.first_line}, got {width}. "
            f"{hint}, and between sentences is a blank line"
        )


def _count_possible_comments(block: Block) -> int:
    """How many lines before the first certain word may be comments."""
    if not block.lines[0].startswith("#"):
        return 0
    for count, line in enumerate(block.lines):
        if not POSSIBLE_COMMENT.match(line):
            return count
    return len(block.lines)


def _first_certain_word(blocks: Sequence[Block]) -> tuple[str, int]:
    """The first line that cannot be a comment, with its number. The first line if all of them may be comments."""
    for block in blocks:
        start = _count_possible_comments(block)
        if start < len(block.lines):
            return block.lines[start], block.numbers[start]
    return blocks[0].lines[0], blocks[0].numbers[0]
