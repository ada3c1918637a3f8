"""Reads sentences with a tag for each word from CoNLL-U, column files, JSON or Parquet.

The format follows from the ending of the file, or else from the first line that is not a comment: a line that begins
with `{` is JSON Lines; ten columns separated by tabs, of which the first counts the words, are CoNLL-U; everything else
is a column file.

JSON has an object for each sentence, a line each or in an array, as `predict --format jsonl` writes them:
`{"tokens": ["Go", "!"], "tags": ["VERB", "PUNCT"]}`. Parquet has a row for each sentence, with lists of strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.column_files import HEAD, column_parts, read_columns
from datamodules.readers.column_layout import POSSIBLE_COMMENT
from datamodules.readers.compression import unpacked_name
from datamodules.readers.conllu import GLOBAL_COLUMNS, conllu_parts, read_conllu
from datamodules.readers.file_parts import Parted
from datamodules.readers.tables import Row, read_rows, row_parts
from datamodules.readers.text_files import LINE_END, MARK, numbered, open_text
from zoo.errors import shown

FORMATS = ("conllu", "columns", "jsonl", "parquet")
ENDINGS = {
    ".conllu": "conllu",
    ".conllu.txt": "conllu",
    ".conllup": "conllu",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
# Files with these endings are in none of the formats.
OTHER_ENDINGS = (".ann", ".csv", ".xlsx", ".xml")
DEFAULT_COLUMNS = {"conllu": "upos", "columns": "-1", "jsonl": "tags", "parquet": "tags"}
# Formats with a list of tokens and one of tags in each row.
TABLES = ("jsonl", "parquet")
FIRST_ID = re.compile(r"1(-\d+)?|0\.1")
STANDOFF = re.compile(r"T\d+\t\S+ \d+ \d+[\t;]")  # a line of annotations by brat
# Characters that may join a word and its tag to one string.
JOINTS = "/_|"
# In a file with fewer words, it may be an accident that all of them look like a word joined with its tag.
MIN_WORDS_TO_REFUSE_JOINED = 2


def read_tagged(
    path: str | Path, column: str | None = None, *, format: str | None = None, word_column: str | None = None
) -> Iterator[TaggedSentence]:
    """Yields the sentences of a file with their tags and line numbers.

    >>> from datamodules import locate
    >>> sentences = list(read_tagged(locate("sample-en")["dev"], "xpos"))
    >>> len(sentences), sentences[4].tags
    (50, ('WDT', 'JJ', 'NN', '.'))

    Args:
        path: the file.
        column: the column of the tags: in CoNLL-U a name, or a key inside a column; in column files a number; in JSON
            and Parquet a name. By default "upos", the last one, and "tags".
        format: one of `FORMATS`; by default `format_of`.
        word_column: likewise the column of the words. By default "form", the first one that does not count the words,
            and "tokens".

    Raises:
        DataError: the file is missing, malformed (with its line and what was expected) or in another format; there is
            no such column; or the words of a sentence are withheld.
    """
    guessed = format is None
    format = format or format_of(path)
    column = column or DEFAULT_COLUMNS[format]
    sentences: Iterable[TaggedSentence]
    if format == "conllu":
        sentences = read_conllu(path, column, word_column or "form")
    elif format in TABLES:
        sentences = read_token_lists(path, word_column or "tokens", column, format=format)
    else:
        sentences = read_columns(path, word_column, column)
        if guessed and word_column is None:
            head = list(islice(sentences, HEAD))
            _refuse_joined(head, path)
            sentences = chain(head, sentences)
    yield from _not_withheld(sentences, path)


def tagged_parts(
    path: str | Path, column: str | None = None, *, format: str | None = None, word_column: str | None = None
) -> Parted[TaggedSentence] | None:
    """The same sentences as `read_tagged`, in parts. None for a file that cannot be cut.

    Only `read_tagged` notices what many sentences of a file have in common, such as words that are joined with tags.
    """
    format = format or format_of(path)
    column = column or DEFAULT_COLUMNS[format]
    if format == "conllu":
        parted = conllu_parts(path, column, word_column or "form")
    elif format in TABLES:
        keys = (word_column or "tokens", column)
        rows = row_parts(path, keys, format=format)
        parted = None if rows is None else rows.then(lambda rows: _token_lists(rows, keys, path))
    else:
        parted = column_parts(path, word_column, column)
    return None if parted is None else parted.then(lambda sentences: _not_withheld(sentences, path))


def format_of(path: str | Path) -> str:
    """The format of a file, by its ending or else by its first line that is not a comment.

    Raises:
        DataError: the ending or the line shows another format, or the file is missing.
    """
    name = Path(unpacked_name(path)).name.lower()
    for ending, format in ENDINGS.items():
        if name.endswith(ending):
            return format
    if name.endswith(OTHER_ENDINGS):
        raise _other_format(path, f"a file that ends in {Path(name).suffix}")
    with open_text(path) as stream:
        for number, line in numbered(stream, str(path)):
            text = line.rstrip(LINE_END).removeprefix(MARK)
            if GLOBAL_COLUMNS.match(text):
                return "conllu"
            if not text.strip(" \t") or POSSIBLE_COMMENT.match(text):
                continue
            if STANDOFF.match(text):
                raise _other_format(f"{path}:{number}", f"annotations beside a text: {text[:60]!r}")
            if re.match(r'\s*\{\s*"', text):
                return "jsonl"
            fields = text.split("\t")
            return "conllu" if len(fields) == 10 and FIRST_ID.fullmatch(fields[0]) else "columns"
    return "columns"


def read_token_lists(
    path: str | Path, word_key: str = "tokens", tag_key: str = "tags", *, format: str = "jsonl"
) -> Iterator[TaggedSentence]:
    """Yields the sentences of a table in JSON or Parquet. A sentence without a word is left out.

    Raises:
        DataError: the file is missing or not in its format; or a sentence has more or fewer tags than words, or some
            that are empty or not strings.
    """
    is_empty = True
    keys = (word_key, tag_key)
    for sentence in _token_lists(read_rows(path, keys, format=format), keys, path):
        is_empty = False
        yield sentence
    if is_empty:
        raise DataError(f"{path}: expected sentences of words and their tags, got a file without a word")


def _token_lists(rows: Iterable[Row], keys: tuple[str, str], path: str | Path) -> Iterator[TaggedSentence]:
    for row in rows:
        here = f"{path}:{row.line}"
        words, tags = (_strings(value, key, here) for value, key in zip(row.values, keys, strict=True))
        if len(words) != len(tags):
            raise DataError(f"{here}: expected a tag for each of {len(words)} words, got {len(tags)} tags")
        if words:
            yield TaggedSentence(words, tags, lines=(row.line,) * len(words))


def _strings(value: object, key: str, here: str) -> tuple[str, ...]:
    """A list of strings, none of them empty."""
    if not isinstance(value, list):
        raise DataError(f"{here}: expected a list of texts as {key!r}, got {shown(value)}")
    for item in value:
        if not isinstance(item, str) or not item:
            hint = ". Write the names of tags, not their numbers" if isinstance(item, int) else ""
            raise DataError(f"{here}: expected texts that are not empty in {key!r}, got {shown(item)}{hint}")
    return tuple(value)


def _other_format(where: str | Path, got: str) -> DataError:
    return DataError(
        f"{where}: expected sentences with a tag for each word, in CoNLL-U (.conllu, .conllup), JSON or Parquet "
        f"with lists of tokens and tags (.jsonl, .json, .parquet) or columns (any other ending), got {got}. Convert "
        f"it, or, if it is one of these, name it with --data.format {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    )


def _refuse_joined(sentences: Sequence[TaggedSentence], path: str | Path) -> None:
    """Refuses a file of `word/TAG`, a sentence a line.

    Such a file looks like columns where all its sentences are equally long.
    """
    words = [word for sentence in sentences for word in sentence.tokens]
    tags = [tag for sentence in sentences for tag in sentence.tags]
    if len(words) < MIN_WORDS_TO_REFUSE_JOINED:
        return
    for joint in JOINTS:
        joined = re.compile(rf".+{re.escape(joint)}.+")
        if all(map(joined.fullmatch, words)) and all(map(joined.fullmatch, tags)):
            first = sentences[0]
            raise DataError(
                f"{path}:{first.lines[0]}: expected a word and its tag in columns, got pieces such as "
                f"{first.tokens[0][:40]!r} and {first.tags[0][:40]!r}, which look like words with their tag. Write a "
                "word a line, with a tab before its tag; if they are words and tags, add --data.format columns"
            )


def _not_withheld(sentences: Iterable[TaggedSentence], path: str | Path) -> Iterator[TaggedSentence]:
    """Refuses a sentence without its text: for legal reasons, each word is replaced by `_`."""
    for sentence in sentences:
        if sentence.tokens[0] == "_" and len(sentence.tokens) > 1 and all(token == "_" for token in sentence.tokens):
            raise DataError(
                f"{path}:{sentence.lines[0]}: expected words, got _ for each of a sentence: its text is withheld. Get "
                "the text from where the corpus comes from and merge it in, or leave such sentences out"
            )
        yield sentence
