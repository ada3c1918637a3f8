"""Tables are read as spreadsheets, pandas and scripts wrote them. Other files are refused with a short message."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outcomes import result_or_error

from datamodules.errors import DataError
from datamodules.readers.labelled_texts import read_labelled_texts
from datamodules.readers.tables import read_records, spreadsheet
from zoo.errors import QUOTED, cut, shown

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\",;\t\n\r |'\u2028漢"), max_size=12)
ROWS = st.lists(st.tuples(st.sampled_from("ab"), TEXTS), min_size=1, max_size=5)
# A cell of Excel has no control characters, and an empty one is no text.
CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\",;\t\n |'漢"), max_size=12)
ROWS_OF_A_CELL = st.lists(
    st.tuples(st.sampled_from("ab"), CELLS.filter(lambda text: not text.startswith("="))), max_size=4
)
QUOTINGS = [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def read(path, **options) -> list[tuple[str, str]]:
    return [(text.labels[0], text.text) for text in read_labelled_texts(path, **options)]


def written(rows, **dialect) -> str:
    target = io.StringIO(newline="")
    csv.writer(target, **dialect).writerows(rows)
    return target.getvalue()


@settings(deadline=None)
@given(ROWS, st.sampled_from(",;\t|"), st.sampled_from(QUOTINGS), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_csv_that_python_wrote_is_restored(folder, rows, delimiter, quoting, lineterminator, told):
    check_csv(folder, rows, delimiter, told=told, quoting=quoting, lineterminator=lineterminator)


@settings(deadline=None)
@given(ROWS, st.sampled_from(",;\t|"))
def test_csv_with_escaped_quotes_is_restored(folder, rows, delimiter):
    rows = [*rows, ("a", 'say "it" now')]
    dialect = {"quoting": csv.QUOTE_ALL, "lineterminator": "\n", "doublequote": False, "escapechar": "\\"}
    check_csv(folder, rows, delimiter, **dialect)


def check_csv(folder, rows, delimiter, *, told=False, lineterminator, **dialect):
    if lineterminator == "\n":  # the writer then does not quote a carriage return
        rows = [(label, text.replace("\r", "")) for label, text in rows]
    header = ("label", "text")
    table = written([header, *rows], delimiter=delimiter, lineterminator=lineterminator, **dialect)
    path = folder / "a.csv"
    path.write_text(f"sep={delimiter}\r\n" * told + table, encoding="utf-8", newline="")
    assert read(path) == rows
    records = [tuple(record.fields.values()) for record in read_records(path)]
    assert records == rows


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", ",;\t")
def test_csv_that_spreadsheets_wrote_is_restored(tmp_path, encoding, delimiter):
    rows = [("gut", 'Ein "feiner" Film; wirklich, ja\nZeile'), ("schlecht", "漢字")]
    table = written([("label", "text"), *rows], delimiter=delimiter)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(table.encode(encoding)))
    assert read(tmp_path / "a.csv.gz") == rows


def test_a_comma_outside_quotes_is_the_separator_even_beside_semicolons(tmp_path):
    (tmp_path / "a.csv").write_text("good,I like; it; really\nbad,no\n")
    assert read(tmp_path / "a.csv", text_column=1, label_column=0) == [("good", "I like; it; really"), ("bad", "no")]
    (tmp_path / "a.csv").write_text('"sep=;"\nlabel;text\ngood;a, b\n')
    assert next(read_labelled_texts(tmp_path / "a.csv")).line == 3


def test_a_separator_that_is_not_tried_is_named_with_the_remedy(tmp_path):
    table = "label^text\ngood^fine; really\n"
    (tmp_path / "a.csv").write_text(table)
    with pytest.raises(DataError, match=r"If '\^' separates the fields of this CSV file, .*: sep=\^"):
        read(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(f"sep=^\n{table}")
    assert read(tmp_path / "a.csv") == [("good", "fine; really")]


# The first line of a text over two lines may look like a complete row with a quote inside. Such a table is refused.
ROWS_OF_A_LINE = st.lists(st.tuples(st.sampled_from("ab"), TEXTS.filter(lambda text: "\n" not in text)), min_size=1)


@settings(deadline=None)
@given(ROWS_OF_A_LINE, st.sampled_from(QUOTINGS))
@example([("a", "x"), ("b", 'say ""')], csv.QUOTE_MINIMAL)
@example([("a", "x\ty\nz"), ("b", '"')], csv.QUOTE_MINIMAL)
@example([("a", "\r")], csv.QUOTE_MINIMAL)
def test_tsv_that_pandas_quoted_is_restored(folder, rows, quoting):
    table = written([("label", "text"), *rows], delimiter="\t", quoting=quoting)
    (folder / "a.tsv").write_text(table, encoding="utf-8", newline="")
    assert read(folder / "a.tsv") == rows


def test_a_quoted_text_whose_first_line_is_a_row_is_refused_and_never_cut(folder):
    (folder / "c.tsv").write_text('label\ttext\na\t"half\nof it"\n', encoding="utf-8")
    with pytest.raises(DataError, match="c.tsv:3: expected 2 columns"):
        read(folder / "c.tsv")


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), TEXTS.filter(lambda text: not set(text) & set("\t\n\r"))), min_size=1))
def test_the_format_tsv_has_no_quotes(folder, rows):
    table = "label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows)
    (folder / "b.tsv").write_text(table, encoding="utf-8", newline="")
    assert read(folder / "b.tsv", format="tsv") == rows


def test_quotes_that_belong_to_texts_stay_in_tsv(tmp_path):
    rows = [("good", '"Fine" film'), ("bad", '"half'), ("bad", '"quoted"'), ("good", '"it ""is"""')]
    (tmp_path / "a.tsv").write_text("label\ttext\n" + "".join("\t".join(row) + "\n" for row in rows))
    assert read(tmp_path / "a.tsv") == rows


def test_the_separator_is_the_one_that_fits_all_rows(tmp_path):
    (tmp_path / "a.csv").write_text("Gut, wirklich;good\nSchlecht;bad\n")
    assert read(tmp_path / "a.csv", text_column=0, label_column=1)[0] == ("good", "Gut, wirklich")
    lines = [f"{'half, ' * (number < 300)}text;{'ab'[number % 2]}\n" for number in range(400)]
    (tmp_path / "a.csv").write_text("text;label\n" + "".join(lines))
    assert len(read(tmp_path / "a.csv")) == 400


FASTTEXT = st.lists(
    st.tuples(st.lists(st.sampled_from(["good", "a-b", "é"]), max_size=3), st.sampled_from(["", "a b"]))
)


@given(FASTTEXT)
def test_texts_with_labels_before_them_are_restored(folder, rows):
    path = folder / "texts.txt"
    rows = [(["first"], "é, here"), *rows]
    lines = [" ".join([*(f"__label__{label}" for label in labels), text]) + "\n" for labels, text in rows]
    path.write_text("\n" + "".join(lines), encoding="utf-8")
    found = [(text.labels, text.text) for text in read_labelled_texts(path, multi_label=True)]
    assert found == [(tuple(dict.fromkeys(labels)), text) for labels, text in rows if labels or text]
    path.write_text("\n__label__a b\nno label\n")
    with pytest.raises(DataError, match="texts.txt:3: expected a label"):
        read(path)
    assert next(read_labelled_texts(path, 1, 0, multi_label=True)).text == "b"


@settings(deadline=None, max_examples=20)
@given(ROWS_OF_A_CELL)
def test_a_workbook_is_read_as_the_csv_of_its_first_sheet(folder, rows):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("label", "text"), *rows, (), ("b", 7), (1, 2.5), (True, None)]:
        book.active.append(row)
    book.create_sheet("Another").append(("x",))
    book.save(folder / "a.xlsx")
    expected = [*rows, ("b", "7"), ("1", "2.5"), ("TRUE", "")]
    assert read(folder / "a.xlsx") == expected
    assert [row.line for row in read_records(folder / "a.xlsx")][-3:] == [len(rows) + 3, len(rows) + 4, len(rows) + 5]


def test_damaged_workbooks_are_read_or_refused(tmp_path, monkeypatch):
    openpyxl = pytest.importorskip("openpyxl")
    path, source, refused = tmp_path / "a.xlsx", random.Random(1), 0
    book = openpyxl.Workbook()
    for row in [("label", "text"), ("a", "x y"), ("b", "é")] * 3:
        book.active.append(row)
    book.save(path)
    whole = path.read_bytes()
    for _ in range(100):
        place = source.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([source.randrange(256)]) + whole[place + 1 :][: source.randrange(9000)])
        result = result_or_error(lambda: read(path), DataError)
        if isinstance(result, DataError):
            refused += 1
            assert "a.xlsx" in str(result)
    assert refused > 50
    path.write_bytes(whole)
    monkeypatch.setattr(spreadsheet, "MAX_UNPACKED", 1000)
    with pytest.raises(DataError, match="a.xlsx: expected a workbook of at most 1,000 bytes when it is unpacked"):
        read(path)


@settings(deadline=None)
@given(ROWS, st.sampled_from([None, 2]), st.booleans(), st.sampled_from([".json", ".jsonl"]))
def test_json_is_restored_from_lines_and_from_an_array(folder, rows, indent, ascii, ending):
    objects = [{"label": label, "text": text} for label, text in rows]
    path = folder / f"a{ending}"
    path.write_text(" \n" + json.dumps(objects, indent=indent, ensure_ascii=ascii), encoding="utf-8", newline="")
    assert read(path) == rows
    lines = [text.line for text in read_labelled_texts(path)]
    assert lines == ([2 + 1 + 4 * i for i in range(len(rows))] if indent else [2] * len(rows))
    path.write_text("".join(json.dumps(row) + "\n" for row in objects), encoding="utf-8")
    assert read(path) == rows


@pytest.mark.parametrize(
    "content, message",
    [
        ('[{"label": "a", "text": "x"}\n {"label"', "a.json:1: expected an array .*, got no comma after the one here"),
        ('[{"label": "a", "text": "x"},\n {"label"', "a.json:2: expected an array of JSON objects, got: Expecting ':'"),
        ('[{"label": "a", "text": "x"},\n]', "a.json:2: expected an array of JSON objects, got: Expecting value"),
        ('[{"label": "a", "text": "x"}', "a.json:1: .*no comma after"),
        ('[{"label": "a", "text": "x"}]\n[]', "a.json:1: expected one array of JSON objects, got more after its end"),
        ('[\n{"text": "x", "text": "y"}]', "a.json:2: .*two values of 'text'"),
        ('[\n["a"]]', r"a.json:2: expected JSON objects, one a line or in an array, got \['a'\]"),
        ("[]", "a.json: expected texts with a label each, got none"),
        ('{\n"label": "a"}', "a.json:1: .*An object over several lines must be part of an array"),
        ('{"text": {"0": "x"}, "label": {"0": "a"}}', "a.json:1: .*write rows: to_json"),
        ('[{"label": "a", "text": ["x", "y"]}]', r"a.json:1: expected a text .*got \['x', 'y'\].*join the parts"),
        ("[" * 100_000, "a.json:1: expected an array of JSON objects, got: .*recursion"),
    ],
    ids=str,
)
def test_json_that_is_not_a_table_is_explained(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.jsonl", json.dumps({"label": "a", "text": ["word " * 500]})),
        ("a.jsonl", json.dumps({"label": ["word " * 500], "text": "a"})),
        ("a.jsonl", json.dumps({"label": {"word " * 500: 1}, "text": "a"})),
        ("a.jsonl", json.dumps("word " * 500)),
        ("a.csv", "word " * 500 + "," + "more " * 500 + "\n"),
        ("a.tsv", "\t".join(["word " * 500] * 200) + "\n"),
        ("a.csv", "label,text\n" + "word\u2028" * 500 + "\n"),
    ],
)
def test_messages_quote_the_beginning_of_long_texts(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read(tmp_path / name)
    assert len(str(error.value)) < len(str(tmp_path)) + 700


def test_messages_quote_short_texts_completely():
    assert shown("a" * (QUOTED - 2)) == f"'{'a' * (QUOTED - 2)}'"
    assert cut("a" * (QUOTED + 1)) == "a" * QUOTED + "..."


def test_damaged_parquet_is_read_or_refused(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path, source, refused = tmp_path / "a.parquet", random.Random(1), 0
    parquet.write_table(arrow.table({"label": ["a", "b"] * 5, "text": ["x y", "é"] * 5}), path)
    whole = path.read_bytes()
    names = [place for place in range(len(whole)) if whole[place : place + 4] in (b"text", b"labe")]
    for place in [*names, *(source.randrange(len(whole)) for _ in range(200))]:
        path.write_bytes(whole[:place] + bytes([source.randrange(128, 256)]) + whole[place + 1 :])
        result = result_or_error(lambda: read(path), DataError)
        if isinstance(result, DataError):
            refused += 1
            assert "a.parquet" in str(result)
    assert refused > 100
