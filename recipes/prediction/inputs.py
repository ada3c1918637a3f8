"""What `predict` reads: one text a line, or the files that training reads, with all of their columns."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from datamodules.errors import DataError
from datamodules.readers.column_files import read_columns
from datamodules.readers.conllu import ConlluSentence, parse_conllu
from datamodules.readers.tables import ENDINGS, FORMATS, is_number, read_records
from datamodules.readers.tagged_files import ENDINGS as TAGGED_ENDINGS
from datamodules.readers.text_files import LINE_END, numbered, open_text
from zoo.errors import ZooError

STANDARD = "standard input"
# A tagger takes TSV for columns: a word and its tag a line.
COLUMNS = (".tsv", ".conll", ".col", ".bio", ".iob", ".iob2", ".bioes", ".bilou", ".bmes")
TAGGED = {**ENDINGS, **TAGGED_ENDINGS, **dict.fromkeys(COLUMNS, "columns")}
CONLLU_LINE = re.compile(r"# (sent_id|text|newdoc|newpar|global\.columns)\b|1(-\d+)?\t([^\t]+\t){8}[^\t]+$")


@dataclass(frozen=True, slots=True)
class Item:
    """A text or the tokens of a sentence; of a table also the columns of its row, of CoNLL-U also its lines."""

    content: str | Sequence[str]
    fields: Mapping[str, object] | None = None
    sentence: ConlluSentence | None = None

    def __len__(self) -> int:
        return len(self.content)

    @property
    def text(self) -> str:
        """The content of an item that is a text, as all are that a classifier or translator reads.

        Raises:
            TypeError: it is a list of tokens.
        """
        if not isinstance(self.content, str):
            raise TypeError(f"expected a text, got tokens: {self.content}")
        return self.content

    def beside(self, answer: Mapping[str, object]) -> dict[str, object]:
        """The columns of its row, then the answer's; a name that is taken gets the prefix "predicted_"."""
        row = dict(self.fields or {})
        for name, value in answer.items():
            row[free_name(name, row)] = value
        return row


@dataclass(frozen=True)
class Source:
    """Where items come from.

    Attributes:
        name: of a file, "-" for standard input.
        format: "text", "conllu", "columns" or one of the `FORMATS` of tables.
        guessed: whether nothing but the lack of another ending says that it is text.
        columns: those that may have the texts of a table, the first that there is.
        header: whether the first line of CSV and TSV names the columns; by default it does, unless the texts are in a
            column that is given by its number.
        tokens: whether what a table has may be a list of tokens.
    """

    name: str
    format: str
    guessed: bool = False
    columns: Sequence[str] = ("text",)
    header: bool | None = None
    tokens: bool = False

    @property
    def typed(self) -> bool:
        """Whether somebody types it, and waits for an answer to each line."""
        return self.name == "-" and sys.stdin is not None and sys.stdin.isatty()

    @property
    def is_table(self) -> bool:
        return self.format in FORMATS

    def items(self) -> Iterator[Item]:
        """Reads one after the other; column files alone are read as a whole, as in training.

        Raises:
            DataError: it cannot be read, is not in its format, or is in another one; with its line.
        """
        if self.is_table:
            return self._rows()
        if self.format == "columns":
            word_column = self.columns[0] if is_number(self.columns[0]) else None
            return (Item(sentence.tokens) for sentence in read_columns(self._path, word_column))
        if self.format == "conllu":
            return self._sentences()
        return self._lines()

    @property
    def _path(self) -> str:
        """What a reader of files can open."""
        if self.name != "-":
            return self.name
        if not Path("/dev/stdin").exists():
            raise ZooError(f"{self.format} is read from a file here: give its name instead of {STANDARD}")
        return "/dev/stdin"

    def _lines(self) -> Iterator[Item]:
        begun = not self.guessed
        with open_input(self.name) as stream:
            for number, line in numbered(stream, STANDARD if self.name == "-" else self.name):
                text = line.rstrip(LINE_END)
                if not begun and text.strip():
                    begun = True
                    self._check(text, number)
                yield Item(text)

    def _check(self, text: str, number: int) -> None:
        """Refuses a first line that is no text."""
        found = ""
        if text.startswith("{") and _is_object(text):
            found = "jsonl"
        elif self.tokens and CONLLU_LINE.match(text):
            found = "conllu"
        elif self.tokens and "\t" in text:
            found = "columns"
        if found:
            name = STANDARD if self.name == "-" else self.name
            raise DataError(
                f"{name}:{number}: expected a text a line, got what looks like {found}: {text[:60]!r}. "
                f"Add --input_format {found}; or --input_format text, if these are texts"
            )

    def _sentences(self) -> Iterator[Item]:
        with open_input(self.name) as stream:
            for sentence in parse_conllu(stream, STANDARD if self.name == "-" else self.name):
                yield Item(sentence.tokens, sentence=sentence)

    def _rows(self) -> Iterator[Item]:
        column = None
        header = not is_number(self.columns[0]) if self.header is None else self.header
        # Where the ending says the format, the reader may look for quotes in TSV, as in training.
        told = None if format_by_ending(str(self._path), ENDINGS) == self.format else self.format
        for record in read_records(self._path, format=told, header=header):
            here = f"{self.name}:{record.line}"
            if column is None:
                column = self._column(list(record.fields), here)
            if column not in record.fields:
                raise self._no_column(column, list(record.fields), here)
            content = record.fields[column]
            if self.tokens and isinstance(content, list) and all(isinstance(one, str) and one for one in content):
                content = tuple(content)
            elif not isinstance(content, str):
                kind = "a text, or a list of tokens," if self.tokens else "a text"
                raise DataError(f"{here}: expected {kind} in column {column}, got {str(content)[:60]!r}")
            yield Item(content, record.fields)

    def _column(self, names: Sequence[str], here: str) -> str:
        """Of the columns that there are the one with the texts."""
        for column in self.columns:
            if column in names:
                return column
            if is_number(column) and -len(names) <= int(column) < len(names):
                return names[int(column)]
        raise self._no_column(self.columns[0], names, here)

    def _no_column(self, column: str, names: Sequence[str], here: str) -> DataError:
        return DataError(
            f"{here}: expected a column {column}, got {', '.join(names)[:200]}. Choose with --text_column: a name, or "
            "a number (0 the first, -1 the last), which means that a CSV or TSV file has no header unless you add "
            "--header true"
        )


def free_name(name: str, taken: Mapping[str, object] | Sequence[str]) -> str:
    """A name that no column of the input has."""
    while name in taken:
        name = f"predicted_{name}"
    return name


def format_by_ending(name: str, endings: Mapping[str, str]) -> str | None:
    """The format that a file's ending tells, if it tells one."""
    name = name.lower().removesuffix(".gz")
    return next((format for ending, format in endings.items() if name.endswith(ending)), None)


@contextmanager
def open_input(name: str) -> Iterator[TextIO]:
    """A file, or standard input as `-`."""
    if name != "-":
        with open_text(name) as stream:
            yield stream
        return
    if sys.stdin is None:
        raise ZooError("standard input is closed: give a file to read, or text through a pipe")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", newline="\n")
    yield sys.stdin


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
