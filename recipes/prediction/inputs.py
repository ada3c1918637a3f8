"""The input of `predict`: one text per line, or a file in a training format, with all of its columns."""

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
from datamodules.readers.compression import unpacked_name
from datamodules.readers.conllu import ConlluSentence, parse_conllu
from datamodules.readers.tables import ENDINGS, FORMATS, is_number, read_records
from datamodules.readers.tables.fasttext import PREFIX
from datamodules.readers.tagged_files import ENDINGS as TAGGED_ENDINGS
from datamodules.readers.text_files import LINE_END, numbered, open_text
from zoo.errors import ZooError

STANDARD = "standard input"
# A tagger reads TSV as a column file: a word and its tag per line.
COLUMNS = (".tsv", ".conll", ".col", ".bio", ".iob", ".iob2", ".bioes", ".bilou", ".bmes")
TAGGED = {**ENDINGS, **TAGGED_ENDINGS, **dict.fromkeys(COLUMNS, "columns")}
CONLLU_LINE = re.compile(r"# (sent_id|text|newdoc|newpar|global\.columns)\b|1(-\d+)?\t([^\t]+\t){8}[^\t]+$")


@dataclass(frozen=True, slots=True)
class Item:
    """A text or the tokens of a sentence. An item of a table has its row too, and an item of CoNLL-U its lines."""

    content: str | Sequence[str]
    fields: Mapping[str, object] | None = None
    sentence: ConlluSentence | None = None

    def __len__(self) -> int:
        return len(self.content)

    @property
    def text(self) -> str:
        """The content of an item that is a text. All items of classifiers and translators are texts.

        Raises:
            TypeError: the content is a list of tokens.
        """
        if not isinstance(self.content, str):
            raise TypeError(f"expected a text, got tokens: {self.content}")
        return self.content

    def beside(self, answer: Mapping[str, object]) -> dict[str, object]:
        """The columns of the row and then those of the answer. A name that is taken gets the prefix "predicted_"."""
        row = dict(self.fields or {})
        for name, value in answer.items():
            row[free_name(name, row)] = value
        return row


@dataclass(frozen=True)
class Source:
    """Where items come from.

    Attributes:
        name: the name of a file, or "-" for standard input.
        format: "text", "tokens" (a sentence per line), "conllu", "columns" or one of the `FORMATS` of tables.
        guessed: whether the format is "text" only because the ending names no other format.
        columns: the columns that may have the texts of a table. The first one that exists is used.
        header: whether the first line of a CSV or TSV file names the columns; by default true, unless the column of the
            texts is given as a number.
        tokens: whether a table may have lists of tokens instead of texts.
    """

    name: str
    format: str
    guessed: bool = False
    columns: Sequence[str] = ("text",)
    header: bool | None = None
    tokens: bool = False

    @property
    def typed(self) -> bool:
        """Whether the input is interactive, so that every line needs an immediate answer."""
        return self.name == "-" and sys.stdin is not None and sys.stdin.isatty()

    @property
    def is_table(self) -> bool:
        return self.format in FORMATS

    def items(self) -> Iterator[Item]:
        """Yields the items one by one. Only column files are read as a whole, as in training.

        Raises:
            DataError: the input cannot be read, is malformed or is in another format. The message names the line.
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
            raise ZooError(f"{self.format} cannot be read from {STANDARD} on this system: give the name of a file")
        return "/dev/stdin"

    def _lines(self) -> Iterator[Item]:
        begun = not self.guessed
        with open_input(self.name) as stream:
            for number, line in numbered(stream, STANDARD if self.name == "-" else self.name):
                text = line.rstrip(LINE_END)
                if not begun and text.strip():
                    begun = True
                    self._check(text, number)
                yield Item(tuple(text.split()) if self.format == "tokens" else text)

    def _check(self, text: str, number: int) -> None:
        """Refuses a first line that looks like another format."""
        found = ""
        if text.startswith("{") and _is_object(text):
            found = "jsonl"
        elif text.startswith(PREFIX):
            found = "fasttext"
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
        # If the format follows from the ending, the reader may look for quotes in TSV, as in training.
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
        """The first of `columns` that exists among the names."""
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
    """The name, with a prefix if a column of the input has it."""
    while name in taken:
        name = f"predicted_{name}"
    return name


def format_by_ending(name: str, endings: Mapping[str, str]) -> str | None:
    """The format that belongs to the ending of a file, or None."""
    name = unpacked_name(name).lower()
    return next((format for ending, format in endings.items() if name.endswith(ending)), None)


@contextmanager
def open_input(name: str) -> Iterator[TextIO]:
    """Opens a file, or standard input if the name is "-"."""
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
