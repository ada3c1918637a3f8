"""Tables with all of their columns, as predictions are written beside them: the same readers, the same errors."""

from __future__ import annotations

import csv
import io
import json

import openpyxl
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from datamodules import DataError
from datamodules.readers.labelled_texts import read_labelled_texts
from datamodules.readers.tables import ENDINGS, read_records

NAMES = ("id", "text", "label")
ROWS = [["1", 'a, "fine" film', "good"], ["2", "二\u2028", "bad"], ["3", "", "bad"]]
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))


def write_table(path, names=NAMES, rows=ROWS) -> None:
    """A table in the format that the file's ending says."""
    if path.suffix == ".parquet":
        columns = zip(*rows, strict=True)
        parquet.write_table(pyarrow.table(dict(zip(names, map(list, columns), strict=True))), path)
        return
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in (names, *rows):
            book.active.append(row)
        book.save(path)
        return
    content = io.StringIO()
    if path.suffix == ".csv":
        csv.writer(content, lineterminator="\n").writerows([names, *rows])
    elif path.suffix == ".tsv":
        content.writelines("\t".join(row) + "\n" for row in (names, *rows))
    else:
        content.writelines(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    path.write_text(content.getvalue(), encoding="utf-8")


@pytest.mark.parametrize("ending", ENDINGS)
def test_all_columns_are_read_and_agree_with_what_training_reads(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write_table(path)
    records = list(read_records(path))
    assert [list(record.fields.values()) for record in records] == ROWS
    assert all(tuple(record.fields) == NAMES for record in records)
    assert [(row.line, row.text) for row in read_labelled_texts(path)] == [(r.line, r.fields["text"]) for r in records]


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(TEXTS, TEXTS)))
def test_csv_of_any_texts_comes_back(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "a.csv"
    write_table(path, ("x", "y"), rows)
    assert [tuple(record.fields.values()) for record in read_records(path)] == rows


def test_columns_without_a_header_are_numbered(tmp_path):
    (tmp_path / "a.tsv").write_text("1\tfine\n0\tdull\n")
    first, second = read_records(tmp_path / "a.tsv", header=False)
    assert first.fields == {"0": "1", "1": "fine"} and second.line == 2


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", "a,a\n1,2\n", "a.csv:1: expected one column a, got a, a"),
        ("a.tsv", "a\tb\n1\n", "a.tsv:2: expected 2 columns as in line 1, got 1"),
        ("a.jsonl", '{"a": 1}\n[]\n', "a.jsonl:2: expected JSON objects, one a line or in an array, got"),
        ("a.jsonl", '{"a": {"\\ud83d": 1}}\n', "a.jsonl:1: expected Unicode text in column a"),
        ("a.parquet", "PAR1", "a.parquet: expected a Parquet file"),
    ],
)
def test_what_is_no_table_is_named_with_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        list(read_records(tmp_path / name))
