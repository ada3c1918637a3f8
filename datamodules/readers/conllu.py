"""From a file to plain examples: sentences of tokens with one tag each.

CoNLL-U (https://universaldependencies.org/format.html) has a word a line, ten columns separated by tabs, and a blank
line after each sentence. Multi-word tokens (`8-9`) and empty nodes (`8.1`) are no words: a tagger never sees them.
CoNLL-U Plus (https://universaldependencies.org/ext-format.html) names its own columns in a first line
`# global.columns = ID FORM UPOS NER`.

A line ends at a line feed (a carriage return before it is dropped) and nowhere else, and a field at a tab: no-break
spaces, ideographic spaces and U+2028 belong to their word.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.text_files import LINE_END, MARK, numbered, open_text

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
FORM = CONLLU_COLUMNS.index("form")
KEYED = ("feats", "misc")  # their values are lists such as Number=Sing|Person=3
FILLED = ("upos", "xpos", "head", "deprel")  # "_" is no tag here; elsewhere it is a value like any other

NOT_A_WORD = re.compile(r"\d+[-.]\d+")  # an id such as 8-9 or 8.1
GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=(.*)")


@dataclass(frozen=True, slots=True)
class ConlluSentence:
    """A sentence with every line of its file, so that it can be written back with only one column changed.

    `lines` have their line ends and include comments, blank lines, multi-word tokens and empty nodes;
    `words` are the indices of those that hold a word. The first line is line `first_line` of `source`. `columns` are
    the names of the columns.
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
    def numbers(self) -> tuple[int, ...]:
        """The lines of the words in their source."""
        return tuple(self.first_line + index for index in self.words)

    def column(self, column: str) -> tuple[str, ...]:
        """The words' values in `column`, a name of `columns` or a key such as `feats:Number`.

        Raises:
            DataError: the column is unknown, or a word has no value in a column of `FILLED`.
        """
        place, key = parse_column(column, self.columns)
        values = tuple(self.lines[i].rstrip(LINE_END).split("\t", place + 1)[place] for i in self.words)
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
        place, key = parse_column(column, self.columns)
        here = f"{self.source}:{self.first_line}"
        if len(values) != len(self.words):
            raise DataError(f"{here}: expected {len(self.words)} values, one a word, got {len(values)}")
        lines = list(self.lines)
        for index, value in zip(self.words, values, strict=True):
            if not value or re.search(r"[\t\r\n|]" if key else r"[\t\r\n]", value):
                raise DataError(f"{here}: expected values that fit into column {column}, got {value!r}")
            body = lines[index].rstrip(LINE_END)
            fields = body.split("\t")
            fields[place] = _put(fields[place], key, value) if key else value
            lines[index] = "\t".join(fields) + lines[index][len(body) :]
        return "".join(lines)


def parse_conllu(stream: TextIO, name: str) -> Iterator[ConlluSentence]:
    """Sentences of a CoNLL-U stream, one at a time; their lines joined are the whole stream again.

    Open the stream with `newline="\\n"`, or Python changes the line ends. `name` is for error messages.
    Blank lines and comments without a sentence go with the sentence after them, at the end with the last.

    Raises:
        DataError: a line has not ten columns with a value each, ids are not 1, 2, 3, ..., there is no
            word in the stream, or it is not UTF-8.
    """
    lines, words, first_line = [], [], 1
    columns = CONLLU_COLUMNS
    end = None  # where the sentence's lines end, once its blank line has come
    for number, line in numbered(stream, name):
        content = line.removeprefix(MARK)
        if number == 1 and (header := GLOBAL_COLUMNS.match(content)):
            columns = _global_columns(header[1], f"{name}:{number}")
        if not content.strip(" \t\r\n"):
            if words and end is None:
                end = len(lines) + 1
        elif not content.startswith("#"):
            if end is not None:
                yield ConlluSentence(lines[:end], words, name, first_line, columns)
                lines, words, first_line, end = lines[end:], [], first_line + end, None
            fields = content.rstrip(LINE_END).split("\t")
            if len(fields) != len(columns) or "" in fields:
                empty = f", {fields.count('')} of them empty" if "" in fields else ""
                raise DataError(
                    f"{name}:{number}: expected {len(columns)} columns separated by tabs, with _ for no value, got "
                    f"{len(fields)}{empty}. For a file of words and tags alone choose the format columns"
                )
            word_id = fields[columns.index("id")] if "id" in columns else str(len(words) + 1)
            if word_id == str(len(words) + 1):
                words.append(len(lines))
            elif not NOT_A_WORD.fullmatch(word_id):
                raise DataError(
                    f"{name}:{number}: expected word id {len(words) + 1}, got {word_id[:40]!r}. Ids count "
                    "1, 2, 3, ... in each sentence, and a blank line ends it"
                )
        lines.append(line)
    if not words:
        raise DataError(f"{name}: expected CoNLL-U sentences, got a file without a word")
    yield ConlluSentence(lines, words, name, first_line, columns)


def read_conllu(path: str | Path, column: str = "upos", word_column: str = "form") -> list[TaggedSentence]:
    """Sentences of a CoNLL-U file with the tags in `column`: a column's name, `feats:KEY` or `misc:KEY`.

    A word without the key has the tag `_`.

    Raises:
        DataError: as `parse_conllu`; the file is missing; the column is unknown, or no word has the key.
    """
    key = ""
    sentences = []
    with open_text(path) as stream:
        for row in parse_conllu(stream, str(path)):
            _, key = parse_column(column, row.columns)
            sentences.append(TaggedSentence(row.column(word_column), row.column(column), row.numbers))
    if key and all(tag == "_" for sentence in sentences for tag in sentence.tags):
        reason = f"column {column} is empty. This treebank may not have it; mind capitals and small letters"
        raise DataError(f"{path}: expected {key}=... at some word, got none: {reason}")
    return sentences


def parse_column(column: str, columns: Sequence[str] = CONLLU_COLUMNS) -> tuple[int, str]:
    """The number of a column and the key inside it: `upos` -> (3, ""), `misc:NER` -> (9, "NER").

    Raises:
        DataError: there is no such column; the ones that there are are listed.
    """
    name, colon, key = column.partition(":")
    # The columns that are a file's own (CoNLL-U Plus) may be given in small or capital letters.
    own = [name.lower() for name in columns if name not in CONLLU_COLUMNS]
    if column.lower() in own:
        return [name.lower() for name in columns].index(column.lower()), ""
    if name in columns and name != "id" and (not colon or (key and name in KEYED)):
        return columns.index(name), key
    known = [name for name in columns if name != "id"] + [f"{name}:KEY" for name in KEYED if name in columns]
    close = difflib.get_close_matches(name.lower() + (":KEY" if colon else ""), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise DataError(f"unknown column {column!r}: expected one of {', '.join(known)}{hint}")


def _global_columns(names: str, here: str) -> tuple[str, ...]:
    """The columns that the first line of a CoNLL-U Plus file names; those of CoNLL-U in small letters."""
    columns = tuple(name.lower() if name.lower() in CONLLU_COLUMNS else name for name in names.split())
    lower = [name.lower() for name in columns]
    repeated = next((name for name in columns if lower.count(name.lower()) > 1), None)
    if "form" not in columns or repeated:
        problem = f"two columns {repeated}" if repeated else f"{names.strip()[:80]!r}"
        raise DataError(
            f"{here}: expected names of columns in global.columns, each once and FORM among them, got {problem}"
        )
    return columns


def _get(field: str, key: str) -> str:
    return next((part[len(key) + 1 :] for part in field.split("|") if part.startswith(f"{key}=")), "_")


def _put(field: str, key: str, value: str) -> str:
    """`field` with `key=value` in the key's old place, or else in the alphabetical order CoNLL-U wants."""
    parts = [] if field == "_" else field.split("|")
    old = [i for i, part in enumerate(parts) if part.startswith(f"{key}=")][:1]
    place = old[0] if old else sum(part.partition("=")[0].lower() < key.lower() for part in parts)
    parts[place : place + len(old)] = [] if value == "_" else [f"{key}={value}"]
    return "|".join(parts) or "_"
