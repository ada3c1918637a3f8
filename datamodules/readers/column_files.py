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
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.column_layout import Block, Layout
from datamodules.readers.file_parts import Parted, Source
from datamodules.readers.text_files import LINE_END, MARK, can_be_cut, numbered, open_text

DOCUMENT_START = re.compile(r"-DOCSTART-([ \t]|$)")
# Sentences that decide how a file is read.
HEAD = 20_000
# In a file with fewer words, it may be an accident that all of them have a space inside.
MIN_WORDS_TO_REFUSE_SPACES = 10


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
    yield from ColumnReader(path, head, word_column, tag_column).sentences(chain(head, blocks))


def column_parts(
    path: str | Path, word_column: str | int | None = None, tag_column: str | int = -1
) -> Parted[TaggedSentence] | None:
    """The same sentences as `read_columns`, in parts. None for a file that cannot be cut."""
    if not can_be_cut(path):
        return None
    reader = ColumnReader(path, list(islice(_read_blocks(path), HEAD)), word_column, tag_column)
    return Parted.file(path, lambda part: reader.sentences(_read_blocks(part)), blank_lines=True)


class ColumnReader:
    """Reads the sentences of a column file, as its first sentences decide.

    Args:
        path: the file.
        head: its first sentences, comments included.
        word_column: the column of the words; by default the first column that does not count them.
        tag_column: the column of the tags.

    Raises:
        DataError: there is no word; there is no such column; the words would all be numbers.
    """

    def __init__(self, path: str | Path, head: Sequence[Block], word_column: str | int | None, tag_column: str | int):
        if not head:
            raise DataError(f"{path}: expected lines of a word and its tag, got a file without a word")
        self._layout = layout = Layout(path, head)
        head = [block for block in map(layout.without_comments, head) if block.lines]
        if not head:
            raise DataError(f"{path}: expected lines of a word and its tag, got comments alone")
        self._tag_place = layout.place(tag_column, flag="--data.column")
        if word_column is None:
            self._word_place = _guess_word_place(head, layout)
        else:
            self._word_place = layout.place(word_column, flag="--data.word_column")
        if layout.separated_by_tabs:
            _refuse_spaces_for_tabs(head, layout, self._word_place)

    def sentences(self, blocks: Iterable[Block]) -> Iterator[TaggedSentence]:
        """The sentences that have a word.

        Raises:
            DataError: a line has more or fewer columns than the first of the file.
        """
        layout = self._layout
        for block in map(layout.without_comments, blocks):
            if block.lines:
                rows = layout.rows(block)
                tokens = tuple(row[self._word_place] for row in rows)
                tags = tuple(row[self._tag_place] for row in rows)
                yield TaggedSentence(tokens, tags, lines=tuple(block.numbers))


def _read_blocks(path: Source) -> Iterator[Block]:
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
