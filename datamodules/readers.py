"""From a file to plain examples: sentences of tokens with one tag each.

Two formats, both with a word a line and a blank line after each sentence:

* CoNLL-U (https://universaldependencies.org/format.html): ten columns separated by tabs. Multi-word
  tokens (`8-9`) and empty nodes (`8.1`) are no words: a tagger never sees them.
* columns: any number of columns separated by spaces or tabs, as in CoNLL-2003 and most NER corpora.

A line ends at a line feed (a carriage return before it is dropped) and nowhere else, and a field at a tab
(in column files also at a space): no-break spaces, ideographic spaces and U+2028 belong to their word.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from datamodules.text_files import LINE_END, DataError, numbered, open_text

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
FORM = CONLLU_COLUMNS.index("form")
KEYED = ("feats", "misc")  # their values are lists such as Number=Sing|Person=3
FILLED = ("upos", "xpos", "head", "deprel")  # "_" is no tag here; elsewhere it is a value like any other

NOT_A_WORD = re.compile(r"\d+[-.]\d+")  # an id such as 8-9 or 8.1


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """The tokens of a sentence, and as many tags."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConlluSentence:
    """A sentence with every line of its file, so that it can be written back with only one column changed.

    `lines` have their line ends and include comments, blank lines, multi-word tokens and empty nodes;
    `words` are the indices of those that hold a word. The first line is line `first_line` of `source`.
    """

    lines: list[str]
    words: list[int]
    source: str
    first_line: int

    def __len__(self) -> int:
        return len(self.words)

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(self.lines[index].split("\t", FORM + 1)[FORM] for index in self.words)

    def column(self, column: str) -> tuple[str, ...]:
        """The words' values in `column`, a name of `CONLLU_COLUMNS` or a key such as `feats:Number`.

        Raises:
            DataError: the column is unknown, or a word has no value in a column of `FILLED`.
        """
        field, key = parse_column(column)
        values = tuple(self.lines[i].rstrip(LINE_END).split("\t", field + 1)[field] for i in self.words)
        if column in FILLED and "_" in values:
            line = self.first_line + self.words[values.index("_")]
            raise DataError(
                f"{self.source}:{line}: expected a value in column {column}, got _: column {column} is empty "
                "here. This treebank may not have it: choose another column"
            )
        return tuple(_get(value, key) for value in values) if key else values

    def with_column(self, column: str, values: Sequence[str]) -> str:
        """The sentence's text with `values`, one a word, in `column`; every other byte stays as it was.

        In a keyed column (`misc:NER`) the value `_` removes the key.

        Raises:
            DataError: the column is unknown, or the values are not one a word, or would break the line.
        """
        field, key = parse_column(column)
        here = f"{self.source}:{self.first_line}"
        if len(values) != len(self.words):
            raise DataError(f"{here}: expected {len(self.words)} values, one a word, got {len(values)}")
        lines = list(self.lines)
        for index, value in zip(self.words, values, strict=True):
            if not value or re.search(r"[\t\r\n|]" if key else r"[\t\r\n]", value):
                raise DataError(f"{here}: expected values that fit into column {column}, got {value!r}")
            body = lines[index].rstrip(LINE_END)
            fields = body.split("\t")
            fields[field] = _put(fields[field], key, value) if key else value
            lines[index] = "\t".join(fields) + lines[index][len(body) :]
        return "".join(lines)


def read_conllu_rows(stream: TextIO, name: str) -> Iterator[ConlluSentence]:
    """Sentences of a CoNLL-U stream, one at a time; their lines joined are the whole stream again.

    Open the stream with `newline="\\n"`, or Python changes the line ends. `name` is for error messages.
    Blank lines and comments without a sentence go with the sentence after them, at the end with the last.

    Raises:
        DataError: a line has not ten columns with a value each, ids are not 1, 2, 3, ..., there is no
            word in the stream, or it is not UTF-8.
    """
    lines, words, first_line = [], [], 1
    end = None  # where the sentence's lines end, once its blank line has come
    for number, line in numbered(stream, name):
        content = line.removeprefix("\ufeff") if number == 1 else line
        if not content.strip(" \t\r\n"):
            if words and end is None:
                end = len(lines) + 1
        elif not content.startswith("#"):
            if end is not None:
                yield ConlluSentence(lines[:end], words, name, first_line)
                lines, words, first_line, end = lines[end:], [], first_line + end, None
            fields = content.rstrip(LINE_END).split("\t")
            if len(fields) != 10 or "" in fields:
                empty = f", {fields.count('')} of them empty" if "" in fields else ""
                raise DataError(
                    f"{name}:{number}: expected 10 columns separated by tabs, with _ for no value, got "
                    f"{len(fields)}{empty}. For a file of words and tags alone choose the format columns"
                )
            if fields[0] == str(len(words) + 1):
                words.append(len(lines))
            elif not NOT_A_WORD.fullmatch(fields[0]):
                raise DataError(
                    f"{name}:{number}: expected word id {len(words) + 1}, got {fields[0]!r}. Ids count "
                    "1, 2, 3, ... in each sentence, and a blank line ends it"
                )
        lines.append(line)
    if not words:
        raise DataError(f"{name}: expected CoNLL-U sentences, got a file without a word")
    yield ConlluSentence(lines, words, name, first_line)


def read_conllu(path: str | Path, column: str = "upos") -> list[TaggedSentence]:
    """Sentences of a CoNLL-U file with the tags in `column`: a column's name, `feats:KEY` or `misc:KEY`.

    A word without the key has the tag `_`.

    Raises:
        DataError: as `read_conllu_rows`; the file is missing; the column is unknown, or no word has the key.
    """
    _, key = parse_column(column)
    with open_text(path) as stream:
        rows = read_conllu_rows(stream, str(path))
        sentences = [TaggedSentence(row.tokens, row.column(column)) for row in rows]
    if key and all(tag == "_" for sentence in sentences for tag in sentence.tags):
        reason = f"column {column} is empty. This treebank may not have it; mind capitals and small letters"
        raise DataError(f"{path}: expected {key}=... at some word, got none: {reason}")
    return sentences


def read_columns(path: str | Path, token_column: int = 0, tag_column: int = -1) -> list[TaggedSentence]:
    """Sentences of a column file. Columns count from 0, or with -1, -2, ... from the last one.

    A line that begins with `-DOCSTART-` (CoNLL-2003) is no word and ends a sentence.

    Raises:
        DataError: the file is missing, has no word or is not UTF-8, there is no such column, or a line has
            more or fewer columns than the first.
    """
    sentences, tokens, tags = [], [], []
    width, first = 0, 0  # the number of columns, and the line that set it

    def end_sentence() -> None:
        if tokens:
            sentences.append(TaggedSentence(tuple(tokens), tuple(tags)))
            tokens.clear()
            tags.clear()

    with open_text(path) as stream:
        for number, line in numbered(stream, str(path)):
            fields = [field for field in line.rstrip(LINE_END).replace("\t", " ").split(" ") if field]
            if not fields or fields[0] == "-DOCSTART-":
                end_sentence()
                continue
            if not width:
                width, first = len(fields), number
                if width < 2 or not all(-width <= column < width for column in (token_column, tag_column)):
                    raise DataError(
                        f"{path}:{number}: expected tokens in column {token_column} and tags in column "
                        f"{tag_column} (the first is 0, the last -1), got {width} columns. "
                        "Separate columns with a space or a tab"
                    )
            if len(fields) != width:
                raise DataError(
                    f"{path}:{number}: expected {width} columns as in line {first}, got {len(fields)}. "
                    "A word has no space inside, and between sentences is a blank line"
                )
            tokens.append(fields[token_column])
            tags.append(fields[tag_column])
    end_sentence()
    if not sentences:
        raise DataError(f"{path}: expected lines of a word and its tag, got a file without a word")
    return sentences


def parse_column(column: str) -> tuple[int, str]:
    """The number of a column and the key inside it: `upos` -> (3, ""), `misc:NER` -> (9, "NER")."""
    name, colon, key = column.partition(":")
    if name in CONLLU_COLUMNS[FORM:] and (not colon or (key and name in KEYED)):
        return CONLLU_COLUMNS.index(name), key
    known = [*CONLLU_COLUMNS[FORM:], "feats:KEY", "misc:KEY"]
    close = difflib.get_close_matches(name.lower() + (":KEY" if colon else ""), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise DataError(f"unknown column {column!r}: expected one of {', '.join(known)}{hint}")


def _get(field: str, key: str) -> str:
    return next((part[len(key) + 1 :] for part in field.split("|") if part.startswith(f"{key}=")), "_")


def _put(field: str, key: str, value: str) -> str:
    """`field` with `key=value` in the key's old place, or else in the alphabetical order CoNLL-U wants."""
    parts = [] if field == "_" else field.split("|")
    old = [i for i, part in enumerate(parts) if part.startswith(f"{key}=")][:1]
    place = old[0] if old else sum(part.partition("=")[0].lower() < key.lower() for part in parts)
    parts[place : place + len(old)] = [] if value == "_" else [f"{key}={value}"]
    return "|".join(parts) or "_"
