"""Column files: a word a line with its tags, and a blank line after each sentence, as most corpora of names have it.

* The first line with a word says what separates columns in the whole file: tabs alone where it has one, and words may
  then have spaces inside; else spaces and tabs.
* A line that begins with `-DOCSTART-` (CoNLL-2003) is no word and ends a sentence.
* A line that begins with `#` and a space may be a comment where it stands before the first word of a sentence. It is a
  word if it has as many columns as the others have, and they know one of its values: `# SYM O` is a word among words
  with the tag `O`, `# newdoc` and `# id 7 domain=en` are comments. With tabs, as many columns are enough where `#` is
  one of them. `#begin document` and `#end document` are comments.
* A first column that counts the words of each sentence, from 1 or 0, is no word: the words are then in the second.
* A byte-order mark at the start of a line is dropped: it is left there when files are joined.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.text_files import LINE_END, MARK, numbered, open_text

DOCUMENT_START = re.compile(r"-DOCSTART-([ \t]|$)")
MAYBE_COMMENT = re.compile(r"[ \t]*#([ \t]|$)|#(begin|end) document\b")
FOR_SURE = ("#begin document", "#end document")
ENOUGH = 10  # words: that all of them have a space inside is then no chance


class Block(NamedTuple):
    """The lines of a sentence without white space around them, and their numbers in the file."""

    texts: list[str]
    numbers: list[int]


def read_columns(
    path: str | Path, word_column: str | int | None = None, tag_column: str | int = -1
) -> list[TaggedSentence]:
    """Sentences of a column file. Columns count from 0, or with -1, -2, ... from the last one.

    Args:
        path: the file.
        word_column: where the words are; by default in the first column that does not count them.
        tag_column: where the tags are.

    Raises:
        DataError: the file is missing, has no word or is not UTF-8; there is no such column; a line has more or fewer
            columns than the first; or what would be read as words are numbers.
    """
    blocks = _blocks(path)
    if not blocks:
        raise DataError(f"{path}: expected lines of a word and its tag, got a file without a word")
    layout = Layout(path, blocks)
    blocks = [block for block in map(layout.without_comments, blocks) if block.texts]
    if not blocks:
        raise DataError(f"{path}: expected lines of a word and its tag, got comments alone")
    tags = layout.place(tag_column, flag="--data.column")
    if word_column is None:
        words = _word_place(blocks, layout)
    else:
        words = layout.place(word_column, flag="--data.word_column")
    sentences = []
    for block in blocks:
        rows = layout.rows(block)
        tokens = tuple(row[words] for row in rows)
        sentences.append(TaggedSentence(tokens, tuple(row[tags] for row in rows), tuple(block.numbers)))
    _refuse_spaces_for_tabs(sentences, layout)
    return sentences


def _blocks(path: str | Path) -> list[Block]:
    """The lines of each sentence."""
    blocks, block = [], Block([], [])
    with open_text(path) as stream:
        for number, line in numbered(stream, str(path)):
            text = line.rstrip(LINE_END).removeprefix(MARK).strip(" \t")
            if text and not (text.startswith("-DOCSTART-") and DOCUMENT_START.match(text)):
                block.texts.append(text)
                block.numbers.append(number)
            elif block.texts:
                blocks.append(block)
                block = Block([], [])
    return [*blocks, block] if block.texts else blocks


class Layout:
    """How the lines of a file are divided into columns, by the first one that holds a word for sure.

    Raises:
        DataError: there is one column.
    """

    def __init__(self, path: str | Path, blocks: Sequence[Block]):
        starts = [_possible_comments(block) for block in blocks]
        certain = next((block for block, start in zip(blocks, starts, strict=True) if start < len(block.texts)), None)
        place = 0 if certain is None else _possible_comments(certain)
        first, number = [part[place] for part in certain or blocks[0]]
        self.path, self.first_line = path, number
        self.tabs = "\t" in first
        self.first = self._split(first)
        self.width = len(self.first)
        if self.width < 2:
            raise DataError(
                f"{path}:{number}: expected a word and its tag in two columns or more, got {self.width} columns: "
                f"{first[:60]!r}. Separate columns with a space or a tab"
            )
        # What is in each column but the first of the lines that are words for sure.
        self._known: list[set[str]] = [set() for _ in range(self.width)]
        if any(starts):
            for block, start in zip(blocks, starts, strict=True):
                for text in block.texts[start:]:
                    for values, value in zip(self._known[1:], self._split(text)[1:], strict=False):
                        values.add(value)

    def rows(self, block: Block) -> list[list[str]]:
        """The columns of each line.

        Raises:
            DataError: a line has another number of them than the first.
        """
        rows = list(map(self._split, block.texts))
        for row, number in zip(rows, block.numbers, strict=True):
            if len(row) != self.width:
                raise self._other_width(len(row), number)
        return rows

    def without_comments(self, block: Block) -> Block:
        """A sentence without the comments before its first word."""
        start = _possible_comments(block)
        if not start:
            return block
        kept = [place for place, text in enumerate(block.texts) if place >= start or not self._is_comment(text)]
        return Block([block.texts[place] for place in kept], [block.numbers[place] for place in kept])

    def place(self, column: str | int, flag: str) -> int:
        """A column's number.

        Raises:
            DataError: there is no such column.
        """
        try:
            place = int(column)
        except ValueError as error:
            raise DataError(
                f"{self}: expected a number for {flag} in a column file, 0 the first and -1 the last, got "
                f"{column[:40]!r}; the columns here are {self.listed}. For CoNLL-U add --data.format conllu"
            ) from error
        if not -self.width <= place < self.width:
            raise DataError(
                f"{self}: expected a column {place} for {flag} (the first is 0, the last -1), got {self.width} "
                f"columns: {self.listed}"
            )
        return place

    @property
    def listed(self) -> str:
        """The columns of the first line, for a message."""
        shown = ", ".join(f"{place} {field[:20]!r}" for place, field in enumerate(self.first[:12]))
        return shown + (", ..." if self.width > 12 else "")

    def __str__(self) -> str:
        return f"{self.path}:{self.first_line}"

    def _split(self, text: str) -> list[str]:
        fields = text.split("\t") if self.tabs else text.replace("\t", " ").split(" ")
        if self.tabs and " " in text:
            fields = [field.strip(" ") for field in fields]
        return [field for field in fields if field] if "" in fields else fields

    def _is_comment(self, text: str) -> bool:
        """Whether a line that may be one is a comment."""
        fields = self._split(text)
        if text.startswith(FOR_SURE) or len(fields) != self.width:
            return True
        if self.tabs and fields[0] == "#":
            return False
        nothing_known = not any(self._known)
        return not (nothing_known or any(map(set.__contains__, self._known, fields)))

    def _other_width(self, width: int, number: int) -> DataError:
        if self.tabs:
            hint = f"Tabs separate columns here, as there is one in line {self.first_line}"
        else:
            hint = "A word has no space inside where spaces separate columns"
        return DataError(
            f"{self.path}:{number}: expected {self.width} columns as in line {self.first_line}, got {width}. "
            f"{hint}, and between sentences is a blank line"
        )


def _possible_comments(block: Block) -> int:
    """How many lines before the first certain word may be comments."""
    if not block.texts[0].startswith("#"):
        return 0
    return next((i for i, text in enumerate(block.texts) if not MAYBE_COMMENT.match(text)), len(block.texts))


def _word_place(blocks: Sequence[Block], layout: Layout) -> int:
    """The column of the words where nobody says: the first, or the second where the first one counts them.

    Raises:
        DataError: these would all be numbers.
    """
    counts = all(_counts([row[0] for row in layout.rows(block)]) for block in blocks)
    place = 1 if counts and layout.width > 2 else 0
    if sum(len(block.texts) for block in blocks) == 1:
        return place
    if all(row[place].isdecimal() for block in blocks for row in layout.rows(block)):
        raise DataError(
            f"{layout}: expected words in column {place} (the first is 0), got numbers alone, such as "
            f"{layout.first[place][:40]!r}. Say where the words are with --data.word_column; the columns here are "
            f"{layout.listed}"
        )
    return place


def _counts(fields: Sequence[str]) -> bool:
    """Whether these are 1, 2, 3, ... or 0, 1, 2, ..."""
    if fields[0] not in ("0", "1"):
        return False
    return all(field == str(number) for number, field in enumerate(fields, int(fields[0])))


def _refuse_spaces_for_tabs(sentences: Sequence[TaggedSentence], layout: Layout) -> None:
    """A file with a space behind each word and tabs behind that is no file of words with spaces inside."""
    words = [word for sentence in sentences for word in sentence.tokens] if layout.tabs else []
    if len(words) >= ENOUGH and all(" " in word for word in words):
        raise DataError(
            f"{layout}: expected columns with tabs between them all, as there is a tab in this line, got a space in "
            f"each word, such as {words[0][:60]!r}. Write tabs for these spaces, or spaces for the tabs"
        )
