"""A file that is read in parts has the examples, the lines and the errors of the whole file."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outcomes import result_or_error

from datamodules.readers import file_parts
from datamodules.readers.column_files import column_parts, read_columns
from datamodules.readers.conllu import conllu_parts, read_conllu
from datamodules.readers.file_parts import Parted
from datamodules.readers.labelled_texts import labelled_parts, read_labelled_texts
from datamodules.readers.parallel import pair_parts, parallel_file_parts, read_pairs, read_parallel
from datamodules.readers.tables import read_rows, row_parts
from datamodules.readers.tagged_files import read_tagged, tagged_parts
from zoo.errors import ZooError

LINES = ["a X", "b Y", "", " \t", "# a X", "# c", "-DOCSTART- X", "\ufeff", "d X\r", "\r", "e", "é 中"]
WORDS = ["1\ta" + "\tX" * 8, "2\tb" + "\tY" * 8, "1-2\tab" + "\t_" * 8, "", "", " ", "# c", "\r", "\ufeff# d"]
FIELDS = ["text\tlabel", "a\tX", "b\tY", "", " ", '"a" b\tX', 'c\t"Y"', "d\tX\r", "e", '"f\tX']
QUOTED = ["text,label", "a,X", "b,Y", "", '"a, b",X', "c", "sep=;", "d;X", "e\r"]
OBJECTS = ['{"text": "a", "label": "X"}', '{"label": "Y", "text": "b"}', "", "[1]", '{"text": 1, "label": "X"}', "{"]
SENTENCES = ['{"tokens": ["a"], "tags": ["X"]}', '{"tags": [], "tokens": []}', "", '{"tokens": ["a"], "tags": []}']

COLUMNS = ("text", "label")
# The ending of a file, lines that it may have, and how it is read: as a whole and in parts.
READERS: dict[str, tuple[str, list[str], Callable[[Path], Iterator[object]], Callable[[Path], Parted | None]]] = {
    "columns": ("txt", LINES, read_columns, column_parts),
    "CoNLL-U": ("conllu", WORDS, read_conllu, conllu_parts),
    "tagged columns": (
        "txt",
        LINES,
        lambda path: read_tagged(path, format="columns"),
        lambda path: tagged_parts(path, format="columns"),
    ),
    "token lists": ("jsonl", SENTENCES, read_tagged, tagged_parts),
    "TSV": ("tsv", FIELDS, lambda path: read_rows(path, COLUMNS), lambda path: row_parts(path, COLUMNS)),
    "TSV without a header": ("tsv", FIELDS, lambda path: read_rows(path, (0, 1)), lambda path: row_parts(path, (0, 1))),
    "CSV": ("csv", QUOTED, lambda path: read_rows(path, COLUMNS), lambda path: row_parts(path, COLUMNS)),
    "CSV without a header": ("csv", QUOTED, lambda path: read_rows(path, (0, 1)), lambda path: row_parts(path, (0, 1))),
    "JSON": ("jsonl", OBJECTS, lambda path: read_rows(path, COLUMNS), lambda path: row_parts(path, COLUMNS)),
    "JSON by numbers": ("jsonl", OBJECTS, lambda path: read_rows(path, (0, 1)), lambda path: row_parts(path, (0, 1))),
    "labelled texts": (
        "tsv",
        FIELDS,
        lambda path: read_labelled_texts(path, header=True),
        lambda path: labelled_parts(path, header=True),
    ),
    "pairs": (
        "csv",
        QUOTED,
        lambda path: read_pairs(path, *COLUMNS),
        lambda path: pair_parts(path, *COLUMNS),
    ),
}


def in_parts(parted: Parted) -> Iterator[object]:
    for part in parted.parts():
        yield from parted.read(part)


def outcome(examples: Callable[[], Iterator[object]]) -> list[str] | str:
    """All examples with their lines, or the first error."""
    found = result_or_error(lambda: list(map(repr, examples())), ZooError)
    return str(found) if isinstance(found, ZooError) else found


@pytest.mark.parametrize("name", READERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(data=st.data())
def test_parts_have_the_examples_of_the_whole_file(name, data, tmp_path, monkeypatch):
    ending, lines, read, parts = READERS[name]
    chosen = data.draw(st.lists(st.sampled_from(lines), max_size=25))
    mark = data.draw(st.sampled_from(["", "\ufeff"]))
    path = tmp_path / f"file.{ending}"
    path.write_text(mark + "\n".join([*lines[:2], *chosen]), encoding="utf-8", newline="")
    monkeypatch.setattr(file_parts, "PART", data.draw(st.integers(1, 60)))
    whole = outcome(lambda: read(path))
    assert outcome(lambda: in_parts(parts(path) or Parted.chunks(lambda: read(path)))) == whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    lines=st.lists(st.sampled_from(["a", "é", "b\r", " ", "longer than a part"]), max_size=12),
    more=st.integers(0, 3),
    part=st.integers(1, 30),
)
def test_parts_of_parallel_files_begin_at_the_same_lines(lines, more, part, tmp_path, monkeypatch):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("\n".join(["x", *lines]), newline="")
    target.write_text("".join(f"{line}{line}\n" for line in ["x", *lines, *lines[:more]]), newline="")
    monkeypatch.setattr(file_parts, "PART", part)
    parted = parallel_file_parts(source, target)
    for one, other in ((source, target), (target, source)):
        parted = parallel_file_parts(one, other)
        assert outcome(lambda parted=parted: in_parts(parted)) == outcome(lambda a=one, b=other: read_parallel(a, b))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    content=st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b" "]), min_size=1).map(b"".join),
    part=st.integers(1, 9),
    blank_lines=st.booleans(),
)
def test_parts_join_to_the_file_and_end_with_a_record(content, part, blank_lines, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(content)
    monkeypatch.setattr(file_parts, "PART", part)
    parts = list(file_parts.file_parts(path, blank_lines=blank_lines))
    assert b"".join(content[one.start : one.end] for one in parts) == content
    for one in parts:
        assert one.first_line == 1 + content[: one.start].count(b"\n")
    for one in parts[:-1]:
        *_, last, end = b"\n".join([b"", content[: one.end]]).split(b"\n")
        assert end == b""
        assert not blank_lines or not last.strip()


def test_what_cannot_be_cut_is_not(tmp_path):
    for name, content in {
        "a.txt": gzip.compress(b"a X\n"),
        "b.txt": "a X\n".encode("utf-16"),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert column_parts(tmp_path / name) is None
    (tmp_path / "c.json").write_text('[{"text": "a"}]')
    assert row_parts(tmp_path / "c.json", ["text"]) is None
    (tmp_path / "d.csv").write_text('text\n"a\nb"\n')
    assert row_parts(tmp_path / "d.csv", ["text"]) is None
    (tmp_path / "e.tsv").write_text('text\n"a" b\n')
    assert row_parts(tmp_path / "e.tsv", ["text"]) is not None
