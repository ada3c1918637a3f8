"""Column files: a line for each word with its tags, and a blank line after each sentence, as in CoNLL-2003.

* The first line that is certainly a word determines the separator of the whole file. If it has a tab, columns are
  separated by tabs only, and words may contain spaces. Otherwise columns are separated by spaces and tabs.
* A line that begins with `-DOCSTART-` (CoNLL-2003) is not a word and ends a sentence.
* A line that begins with `#` and a space, before the first certain word of a sentence, may be a comment. It is a word
  if it has as many columns as other lines and shares a value with them: `# SYM O` is a word among words with the tag
  `O`, while `# newdoc` and `# id 7 domain=en` are comments. In files with tabs it is a word if it has as many columns
  as other lines and `#` is one of them. `#begin document` and `#end document` are comments.
* If the first column counts the words of each sentence, from 1 or 0, the words are in the second column.
* A byte-order mark at the start of a line is dropped: it remains where files were joined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.text_files import LINE_END, MARK, numbered, open_text

DOCUMENT_START = re.compile(r"-DOCSTART-([ \t]|$)")
POSSIBLE_COMMENT = re.compile(r"[ \t]*#([ \t]|$)|#(begin|end) document\b")
CERTAIN_COMMENTS = ("#begin document", "#end document")
# Sentences that decide how a file is read.
HEAD = 20_000
# The largest number of columns in a message.
COLUMNS_SHOWN = 12
# In a file with fewer words, it may be an accident that all of them have a space inside.
MIN_WORDS_TO_REFUSE_SPACES = 10


class Block(NamedTuple):
    """The lines of a sentence, without white space around them, and their line numbers."""

    lines: list[str]
    numbers: list[int]


def read_columns(
    path: str | Path, word_column: str | int | None = None, tag_column: str | int = -1
) -> Iterator[TaggedSentence]:
    """Yields the sentences of a column file. Columns count from 0, or with -1, -2, ... from the last one.

    The first `HEAD` sentences decide what is a comment and where the words are.

    >>> from pathlib import Path
    >>> _ = Path("names.txt").write_text("Lena PROPN B-PER\\nsings VERB O\\n")
    >>> list(read_columns("names.txt"))
    [TaggedSentence(tokens=('Lena', 'sings'), tags=('B-PER', 'O'), lines=(1, 2))]
    >>> next(read_columns("names.txt", tag_column=1)).tags
    ('PROPN', 'VERB')

    Args:
        path: the file.
        word_column: the column of the words; by default the first column that does not count them.
        tag_column: the column of the tags.

    Raises:
        DataError: the file is missing, has no word or is not UTF-8; there is no such column; a line has more or fewer
            columns than the first; or the words would all be numbers.
    """
    blocks = _read_blocks(path)
    head = list(islice(blocks, HEAD))
    if not head:
        raise DataError(f"{path}: expected lines of a word and its tag, got a file without a word")
    layout = Layout(path, head)
    head = [block for block in map(layout.without_comments, head) if block.lines]
    if not head:
        raise DataError(f"{path}: expected lines of a word and its tag, got comments alone")
    tag_place = layout.place(tag_column, flag="--data.column")
    if word_column is None:
        word_place = _guess_word_place(head, layout)
    else:
        word_place = layout.place(word_column, flag="--data.word_column")
    if layout.separated_by_tabs:
        _refuse_spaces_for_tabs(head, layout, word_place)
    for block in chain(head, map(layout.without_comments, blocks)):
        if block.lines:
            rows = layout.rows(block)
            tokens = tuple(row[word_place] for row in rows)
            tags = tuple(row[tag_place] for row in rows)
            yield TaggedSentence(tokens, tags, lines=tuple(block.numbers))


def _read_blocks(path: str | Path) -> Iterator[Block]:
    """The lines of each sentence, comments included."""
    block = Block([], [])
    with open_text(path) as stream:
        for number, line in numbered(stream, str(path)):
            text = line.rstrip(LINE_END).removeprefix(MARK).strip(" \t")
            if text and not (text.startswith("-DOCSTART-") and DOCUMENT_START.match(text)):
                block.lines.append(text)
                block.numbers.append(number)
            elif block.lines:
                yield block
                block = Block([], [])
    if block.lines:
        yield block


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


def _guess_word_place(blocks: Sequence[Block], layout: Layout) -> int:
    """The index of the words' column: the second if the first one counts the words, else the first.

    Raises:
        DataError: all words would be numbers.
    """
    counts = all(_is_count([row[0] for row in layout.rows(block)]) for block in blocks)
    place = 1 if counts and layout.width > 2 else 0
    if sum(len(block.lines) for block in blocks) == 1:
        return place
    if all(row[place].isdecimal() for block in blocks for row in layout.rows(block)):
        raise DataError(
            f"{layout}: expected words in column {place} (the first is 0), got numbers alone, such as "
            f"{layout.first_row[place][:40]!r}. Say where the words are with --data.word_column; the columns here are "
            f"{layout.listed}"
        )
    return place


def _is_count(fields: Sequence[str]) -> bool:
    """Whether the fields are 1, 2, 3, ... or 0, 1, 2, ..."""
    if fields[0] not in ("0", "1"):
        return False
    return all(field == str(number) for number, field in enumerate(fields, int(fields[0])))


def _refuse_spaces_for_tabs(blocks: Sequence[Block], layout: Layout, word_place: int) -> None:
    """Refuses a file with a tab before the tags but a space between every word and the next column."""
    words = [row[word_place] for block in blocks for row in layout.rows(block)]
    if len(words) >= MIN_WORDS_TO_REFUSE_SPACES and all(" " in word for word in words):
        raise DataError(
            f"{layout}: expected columns with tabs between them all, as there is a tab in this line, got a space in "
            f"each word, such as {words[0][:60]!r}. Write tabs for these spaces, or spaces for the tabs"
        )
