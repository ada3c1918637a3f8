"""Which format a file of tagged sentences has, and its sentences.

The ending tells, and where it does not, the first line that is no comment: `{` begins JSON Lines, ten columns between
tabs of which the first is the number of a word are CoNLL-U, and all else is columns.

JSON Lines have a sentence a line, as `predict --format jsonl` writes them: `{"tokens": ["Go", "!"], "tags": [...]}`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.column_files import MAYBE_COMMENT, read_columns
from datamodules.readers.conllu import GLOBAL_COLUMNS, read_conllu
from datamodules.readers.tables import read_rows
from datamodules.readers.text_files import LINE_END, MARK, numbered, open_text

FORMATS = ("conllu", "columns", "jsonl")
ENDINGS = {
    ".conllu": "conllu",
    ".conllu.txt": "conllu",
    ".conllup": "conllu",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
OTHERS = (".ann", ".csv", ".json", ".parquet", ".xml")  # what has these is none of the formats
FIRST_ID = re.compile(r"1(-\d+)?|0\.1")
STANDOFF = re.compile(r"T\d+\t\S+ \d+ \d+[\t;]")  # a line of brat's annotations
GLUE = "/_|"  # what stands between a word and its tag where they are one piece
ENOUGH = 2  # words: that all of them look like pieces is then no chance
DEFAULTS = {"conllu": "upos", "columns": "-1", "jsonl": "tags"}


def read_tagged(
    path: str | Path, column: str | None = None, *, format: str | None = None, word_column: str | None = None
) -> list[TaggedSentence]:
    """The sentences of a file with their tags, and the line of each word.

    Args:
        path: the file.
        column: where the tags are: in CoNLL-U a column or a key inside one, in column files a number, in JSON Lines
            a key; by default "upos", the last one, "tags".
        format: one of `FORMATS`; by default what the file's ending or its first line tells.
        word_column: where the words are, likewise; by default "form", the first that does not count them, "tokens".

    Raises:
        DataError: the file is missing, malformed or of another format (file and line, what was expected), there is no
            such column, or a sentence's words are withheld.
    """
    guessed = format is None
    format = format or format_of(path)
    column = column or DEFAULTS[format]
    if format == "conllu":
        sentences = read_conllu(path, column, word_column or "form")
    elif format == "jsonl":
        sentences = read_token_lists(path, word_column or "tokens", column)
    else:
        sentences = read_columns(path, word_column, column)
        if guessed and word_column is None:
            _refuse_pieces(sentences, path)
    _refuse_withheld(sentences, path)
    return sentences


def format_of(path: str | Path) -> str:
    """The format of a file.

    Raises:
        DataError: its ending or its first line says that it is of another one; or the file is missing.
    """
    name = Path(path).name.lower()
    for ending, format in ENDINGS.items():
        if name.endswith(ending):
            return format
    if name.endswith(OTHERS):
        raise _other_format(path, f"a file that ends in {Path(name).suffix}")
    with open_text(path) as stream:
        for number, line in numbered(stream, str(path)):
            text = line.rstrip(LINE_END).removeprefix(MARK)
            if GLOBAL_COLUMNS.match(text):
                return "conllu"
            if not text.strip(" \t") or MAYBE_COMMENT.match(text):
                continue
            if STANDOFF.match(text):
                raise _other_format(f"{path}:{number}", f"annotations beside a text: {text[:60]!r}")
            if re.match(r'\s*\{\s*"', text):
                return "jsonl"
            fields = text.split("\t")
            return "conllu" if len(fields) == 10 and FIRST_ID.fullmatch(fields[0]) else "columns"
    return "columns"


def read_token_lists(path: str | Path, word_key: str = "tokens", tag_key: str = "tags") -> list[TaggedSentence]:
    """The sentences of a JSON Lines file; those without a word are left out.

    Raises:
        DataError: the file is missing or not in its format, or a sentence has not as many tags as words, or some that
            are empty or no texts.
    """
    sentences = []
    for row in read_rows(path, (word_key, tag_key), format="jsonl"):
        here = f"{path}:{row.line}"
        words = _texts(row.values[0], word_key, here)
        tags = _texts(row.values[1], tag_key, here)
        if len(words) != len(tags):
            raise DataError(f"{here}: expected a tag for each of {len(words)} words, got {len(tags)} tags")
        if words:
            sentences.append(TaggedSentence(words, tags, (row.line,) * len(words)))
    if not sentences:
        raise DataError(f"{path}: expected sentences of words and their tags, got a file without a word")
    return sentences


def _texts(value: object, key: str, here: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DataError(f"{here}: expected a list of texts as {key!r}, got {repr(value)[:60]}")
    for item in value:
        if not isinstance(item, str) or not item:
            hint = " Write the names of tags, not their numbers" if isinstance(item, int) else ""
            raise DataError(f"{here}: expected texts that are not empty in {key!r}, got {repr(item)[:60]}.{hint}")
    return tuple(value)


def _other_format(where: str | Path, got: str) -> DataError:
    return DataError(
        f"{where}: expected sentences with a tag for each word, in CoNLL-U (.conllu, .conllup), JSON Lines of tokens "
        f"and tags (.jsonl, .ndjson) or columns (any other ending), got {got}. Convert it, or, if it is one of these, "
        "name it with --data.format conllu, jsonl or columns"
    )


def _refuse_pieces(sentences: Sequence[TaggedSentence], path: str | Path) -> None:
    """Lines of `word/TAG` split into columns where all are equally long: each word and each tag is then both."""
    words = [word for sentence in sentences for word in sentence.tokens]
    tags = [tag for sentence in sentences for tag in sentence.tags]
    for glue in GLUE:
        inside = re.compile(rf".+{re.escape(glue)}.+")
        if len(words) >= ENOUGH and all(map(inside.fullmatch, words)) and all(map(inside.fullmatch, tags)):
            first = sentences[0]
            raise DataError(
                f"{path}:{first.lines[0]}: expected a word and its tag in columns, got pieces such as "
                f"{first.tokens[0][:40]!r} and {first.tags[0][:40]!r}, which look like words with their tag. Write a "
                "word a line, with a tab before its tag; if they are words and tags, add --data.format columns"
            )


def _refuse_withheld(sentences: Sequence[TaggedSentence], path: str | Path) -> None:
    """Treebanks of texts that may not be passed on have `_` in the place of each word."""
    for sentence in sentences:
        if len(sentence.tokens) > 1 and all(token == "_" for token in sentence.tokens):
            raise DataError(
                f"{path}:{sentence.lines[0]}: expected words, got _ for each of a sentence: its text is withheld. Get "
                "the text from where the corpus comes from and merge it in, or leave such sentences out"
            )
