"""Reads CoNLL-U, and writes one column back without a change of any other byte.

CoNLL-U (https://universaldependencies.org/format.html) has a line for each word with ten columns separated by tabs,
and a blank line after each sentence. Multi-word tokens (`8-9`) and empty nodes (`8.1`) are not words: a tagger does not
read them. CoNLL-U Plus (https://universaldependencies.org/ext-format.html) names its own columns in a first line such
as `# global.columns = ID FORM UPOS NER`.

A line ends at a line feed only; a carriage return before it is dropped. A field ends at a tab only. No-break spaces,
ideographic spaces and U+2028 belong to their word.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TextIO

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.file_parts import FilePart, Parted
from datamodules.readers.text_files import LINE_END, MARK, can_be_cut, numbered, open_text

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
# Their values are lists such as Number=Sing|Person=3.
KEYED_COLUMNS = ("feats", "misc")
# In these columns "_" means that there is no value. In other columns it is an ordinary value.
FILLED_COLUMNS = ("upos", "xpos", "head", "deprel")

NOT_A_WORD = re.compile(r"\d+[-.]\d+")  # an id such as 8-9 or 8.1
GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=(.*)")


@dataclass(frozen=True, slots=True)
class ConlluSentence:
    """A sentence with every line of its file, so that it can be written back with only one column changed.

    Attributes:
        lines: all lines with their line ends: words, comments, blank lines, multi-word tokens and empty nodes.
        words: the indices of the lines that hold a word.
        source: the name of the file.
        first_line: the line number of `lines[0]` in the file.
        columns: the names of the columns.
    """

    lines: list[str]
    words: list[int]
    source: str
    first_line: int
    columns: tuple[str, ...] = CONLLU_COLUMNS

    def __len__(self) -> int:
        return len(self.words)

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.column("form")

    @property
    def line_numbers(self) -> tuple[int, ...]:
        """The line number of each word in the file."""
        return tuple(self.first_line + index for index in self.words)

    def column(self, column: str) -> tuple[str, ...]:
        """The value of each word in `column`: a name of `columns`, or a key such as `feats:Number`.

        Raises:
            DataError: the column is unknown, or a word has no value in a column of `FILLED_COLUMNS`.
        """
        place, key = parse_column(column, self.columns)
        values = tuple(self.lines[index].rstrip(LINE_END).split("\t", place + 1)[place] for index in self.words)
        if column in FILLED_COLUMNS and "_" in values:
            line = self.first_line + self.words[values.index("_")]
            raise DataError(
                f"{self.source}:{line}: expected a value in column {column}, got _: column {column} is empty "
                "here. This treebank may not have it: choose another column"
            )
        return tuple(_value_of_key(value, key) for value in values) if key else values

    def with_column(self, column: str, values: Sequence[str]) -> str:
        """The sentence's text with new `values`, one for each word, in `column`. Every other byte stays as it was.

        In a keyed column (`misc:NER`) the value `_` removes the key.

        Raises:
            DataError: the column is unknown, there are more or fewer values than words, or a value would break the
                line.
        """
        place, key = parse_column(column, self.columns)
        here = f"{self.source}:{self.first_line}"
        if len(values) != len(self.words):
            raise DataError(f"{here}: expected {len(self.words)} values, one a word, got {len(values)}")
        forbidden = re.compile(r"[\t\r\n|]" if key else r"[\t\r\n]")
        lines = list(self.lines)
        for index, value in zip(self.words, values, strict=True):
            if not value or forbidden.search(value):
                raise DataError(f"{here}: expected values that fit into column {column}, got {value!r}")
            body = lines[index].rstrip(LINE_END)
            line_end = lines[index][len(body) :]
            fields = body.split("\t")
            fields[place] = _with_key(fields[place], key, value) if key else value
            lines[index] = "\t".join(fields) + line_end
        return "".join(lines)


def read_conllu(path: str | Path, column: str = "upos", word_column: str = "form") -> Iterator[TaggedSentence]:
    """Yields the sentences of a CoNLL-U file with the tags in `column`: a column's name, `feats:KEY` or `misc:KEY`.

    A word without the key has the tag `_`.

    >>> from datamodules import locate
    >>> dev = locate("sample-en")["dev"]
    >>> sentence = list(read_conllu(dev, "misc:NER"))[3]
    >>> list(zip(sentence.tokens, sentence.tags))[:4]
    [('The', 'O'), ('World', 'B-ORG'), ('Bank', 'I-ORG'), ('will', 'O')]

    Raises:
        DataError: as in `parse_conllu`; or the file is missing, the column is unknown, or no word has the key.
    """
    key = ""
    has_key = False
    with open_text(path) as stream:
        for sentence in parse_conllu(stream, str(path)):
            _, key = parse_column(column, sentence.columns)
            tagged = _tagged(sentence, column, word_column)
            has_key = has_key or any(tag != "_" for tag in tagged.tags)
            yield tagged
    if key and not has_key:
        raise DataError(
            f"{path}: expected {key}=... at some word, got none: column {column} is empty. This treebank may not have "
            "it; mind capitals and small letters"
        )


def conllu_parts(path: str | Path, column: str = "upos", word_column: str = "form") -> Parted[TaggedSentence] | None:
    """The same sentences as `read_conllu`, in parts. None for a file that cannot be cut.

    That no word has the key is not noticed.
    """
    if not can_be_cut(path):
        return None
    with open_text(path) as stream:
        columns = next(parse_conllu(stream, str(path))).columns

    def read(part: FilePart) -> Iterator[TaggedSentence]:
        with open_text(part) as stream:
            for sentence in _sentences(stream, str(path), columns):
                yield _tagged(sentence, column, word_column)

    return Parted.file(path, read, blank_lines=True)


def _tagged(sentence: ConlluSentence, column: str, word_column: str) -> TaggedSentence:
    return TaggedSentence(sentence.column(word_column), sentence.column(column), lines=sentence.line_numbers)


def parse_conllu(stream: TextIO, name: str) -> Iterator[ConlluSentence]:
    """Yields the sentences of a CoNLL-U stream one at a time. Their lines joined are the whole stream again.

    Blank lines and comments between sentences belong to the sentence after them, and at the end of the stream to the
    last one.

    Args:
        stream: a text stream that was opened with `newline="\\n"`, as Python changes line ends otherwise.
        name: the name of the file, for messages.

    Raises:
        DataError: a line does not have ten columns with a value each, ids are not 1, 2, 3, ..., there is no word in
            the stream, or it is not UTF-8.
    """
    is_empty = True
    for sentence in _sentences(stream, name, CONLLU_COLUMNS):
        is_empty = False
        yield sentence
    if is_empty:
        raise DataError(f"{name}: expected CoNLL-U sentences, got a file without a word")


def _sentences(stream: TextIO, name: str, columns: tuple[str, ...]) -> Iterator[ConlluSentence]:
    """As `parse_conllu`, for a stream that may have no word; `columns` are its columns if it does not name them."""
    first_line = 1
    lines: list[str] = []
    words: list[int] = []
    # The number of `lines` that belong to the sentence; None before its blank line.
    length = None
    for number, line in numbered(stream, name):
        content = line.removeprefix(MARK)
        if number == 1 and (header := GLOBAL_COLUMNS.match(content)):
            columns = _global_columns(header[1], f"{name}:{number}")
        if not content.strip(" \t\r\n"):
            if words and length is None:
                length = len(lines) + 1
        elif not content.startswith("#"):
            if length is not None:
                yield ConlluSentence(lines[:length], words, name, first_line, columns)
                first_line += length
                lines = lines[length:]
                words = []
                length = None
            fields = content.rstrip(LINE_END).split("\t")
            if len(fields) != len(columns) or "" in fields:
                raise _wrong_fields(fields, columns, f"{name}:{number}")
            next_id = str(len(words) + 1)
            word_id = fields[columns.index("id")] if "id" in columns else next_id
            if word_id == next_id:
                words.append(len(lines))
            elif not NOT_A_WORD.fullmatch(word_id):
                raise DataError(
                    f"{name}:{number}: expected word id {next_id}, got {word_id[:40]!r}. Ids count 1, 2, 3, ... in "
                    "each sentence, and a blank line ends it"
                )
        if not lines:
            first_line = number
        lines.append(line)
    if words:
        yield ConlluSentence(lines, words, name, first_line, columns)


@cache
def parse_column(column: str, columns: tuple[str, ...] = CONLLU_COLUMNS) -> tuple[int, str]:
    """The index of a column and the key inside it.

    >>> parse_column("upos"), parse_column("misc:NER")
    ((3, ''), (9, 'NER'))

    Raises:
        DataError: there is no such column. The message lists the ones that exist.
    """
    # A column that CoNLL-U does not have (CoNLL-U Plus) may be given in small or capital letters.
    for index, own in enumerate(columns):
        if own not in CONLLU_COLUMNS and own.lower() == column.lower():
            return index, ""
    name, colon, key = column.partition(":")
    if name in columns and name != "id" and (not colon or (key and name in KEYED_COLUMNS)):
        return columns.index(name), key
    known = [name for name in columns if name != "id"] + [f"{name}:KEY" for name in KEYED_COLUMNS if name in columns]
    close = difflib.get_close_matches(name.lower() + (":KEY" if colon else ""), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise DataError(f"unknown column {column!r}: expected one of {', '.join(known)}{hint}")


def _wrong_fields(fields: Sequence[str], columns: Sequence[str], here: str) -> DataError:
    """The error for a line with more or fewer fields than there are columns, or with empty ones."""
    empty = f", {fields.count('')} of them empty" if "" in fields else ""
    return DataError(
        f"{here}: expected {len(columns)} columns separated by tabs, with _ for no value, got {len(fields)}{empty}. "
        "For a file with only words and tags choose the format columns"
    )


def _global_columns(names: str, here: str) -> tuple[str, ...]:
    """The columns that the first line of a CoNLL-U Plus file names; the names of CoNLL-U in small letters."""
    columns = tuple(name.lower() if name.lower() in CONLLU_COLUMNS else name for name in names.split())
    lower = [name.lower() for name in columns]
    repeated = next((name for name in columns if lower.count(name.lower()) > 1), None)
    if "form" not in columns or repeated:
        problem = f"two columns {repeated}" if repeated else f"{names.strip()[:80]!r}"
        raise DataError(
            f"{here}: expected names of columns in global.columns, each once and FORM among them, got {problem}"
        )
    return columns


def _value_of_key(field: str, key: str) -> str:
    """The value of a key in a field such as `Number=Sing|Person=3`; `_` where the field does not have the key."""
    for part in field.split("|"):
        if part.startswith(f"{key}="):
            return part[len(key) + 1 :]
    return "_"


def _with_key(field: str, key: str, value: str) -> str:
    """A field with `key=value` in the key's old place, or else in the alphabetical order that CoNLL-U asks for."""
    parts = [] if field == "_" else field.split("|")
    new = [] if value == "_" else [f"{key}={value}"]
    place = _place_of_key(parts, key)
    if place is None:
        place = sum(1 for part in parts if part.partition("=")[0].lower() < key.lower())
        parts[place:place] = new
    else:
        parts[place : place + 1] = new
    return "|".join(parts) or "_"


def _place_of_key(parts: Iterable[str], key: str) -> int | None:
    """The index of the first part `key=...`."""
    return next((index for index, part in enumerate(parts) if part.startswith(f"{key}=")), None)
