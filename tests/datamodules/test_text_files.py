"""Text files: every encoding and compression is read completely, or refused with its name; no other error is raised."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import zipfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from outcomes import result_or_error

from datamodules.errors import DataError
from datamodules.readers import compression, text_files
from datamodules.readers.column_files import read_columns
from datamodules.readers.conllu import read_conllu
from datamodules.readers.labelled_texts import read_labelled_texts
from datamodules.readers.parallel import read_pairs, read_parallel
from datamodules.readers.text_files import numbered, open_text


def zipped(content: bytes, *names: str) -> bytes:
    """An archive of files with the same content."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("folder/a.csv",):
            archive.writestr(name, content)
    return target.getvalue()


PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zip": zipped}
LINES = ["Köln 漢字 🙂\n", "\n", "no\u2028break\r\n", "the end"]


def lines_of(path) -> list[str]:
    with open_text(path) as stream:
        return [line for _, line in numbered(stream, str(path))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("pack", [bytes, *PACKERS.values()], ids=["plain", *PACKERS])
@pytest.mark.parametrize("name", ["text", "text.gz"])
def test_encodings_and_compressions_are_told_by_the_first_bytes(tmp_path, encoding, pack, name):
    path = tmp_path / name
    path.write_bytes(pack("".join(LINES).encode(encoding)))
    assert lines_of(path) == LINES
    path.write_bytes(pack(b""))
    assert lines_of(path) == []


@pytest.mark.parametrize(
    "encoding, said",
    [
        ("utf-32", "got UTF-32. Convert the file: iconv -f UTF-32 -t UTF-8"),
        ("utf-16-le", "got UTF-16 without a byte-order mark. Convert the file: iconv -f UTF-16LE -t UTF-8"),
        ("utf-16-be", "got UTF-16 without a byte-order mark. Convert the file: iconv -f UTF-16BE -t UTF-8"),
        ("latin-1", ":1: expected UTF-8 text, got the byte 0xf6. Convert the file: iconv"),
    ],
)
def test_other_encodings_are_named(tmp_path, encoding, said):
    (tmp_path / "a.csv").write_text("label,text in Köln\ngood,film\n", encoding=encoding)
    with pytest.raises(DataError, match="a.csv") as error:
        lines_of(tmp_path / "a.csv")
    assert said in str(error.value)


def test_a_cut_utf16_file_is_not_taken_for_another_encoding(tmp_path):
    (tmp_path / "a").write_bytes("one\ntwo\n".encode("utf-16")[:-1])
    with pytest.raises(DataError, match=r"a:\d: expected UTF-16 text, as its first bytes say, got: truncated data"):
        lines_of(tmp_path / "a")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["plain", "gzip", "xz"])
def test_an_endless_line_is_named_before_it_fills_the_memory(tmp_path, monkeypatch, pack, encoding):
    monkeypatch.setattr(text_files, "MAX_LINE", 100_000)
    path = tmp_path / "a.txt"
    long_line = "漢x" * 15_000 + "\n"
    path.write_bytes(pack(("short\n" * 20_000 + long_line * 4 + "the end").encode(encoding)))
    assert len(lines_of(path)) == 20_005
    path.write_bytes(pack(("short\n" * 20_000 + "漢x" * 100_000 + "\nthe end").encode(encoding)))
    with pytest.raises(DataError, match=r"a.txt:20001: expected lines of at most 100,000 bytes.*JSON Lines"):
        lines_of(path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a device without an end")
def test_a_line_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(text_files, "MAX_LINE", 100_000)
    with pytest.raises(DataError, match="/dev/zero:1: expected lines of at most 100,000 bytes"):
        lines_of("/dev/zero")


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(compression, "MAX_UNPACKED", 10_000)
    path = tmp_path / "a.txt"
    path.write_bytes(pack(b"x\n" * 2_000))
    assert len(lines_of(path)) == 2_000
    path.write_bytes(pack(b"x\n" * 200_000))
    with pytest.raises(DataError, match="a.txt: expected compressed text, got a file that unpacks to more than 250"):
        lines_of(path)


def test_an_archive_has_one_file_whose_name_tells_the_format(tmp_path):
    table = b"text,label\na,x\n"
    for name, members in {
        "a.zip": ["b.csv"],
        "a.csv.zip": ["b"],
        "c.zip": ["d/", "d/b.CSV", "__MACOSX/d/._b.CSV"],
    }.items():
        (tmp_path / name).write_bytes(zipped(table, *members))
        (text,) = read_labelled_texts(tmp_path / name)
        assert text.text == "a"
    (tmp_path / "a.zip").write_bytes(zipped(table, "b.csv", "c.csv"))
    with pytest.raises(DataError, match="a.zip: expected an archive of one file, got 2: b.csv, c.csv. Unpack it"):
        list(read_labelled_texts(tmp_path / "a.zip"))
    locked = bytearray(zipped(table))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.csv").write_bytes(locked)
    with pytest.raises(DataError, match="a.csv: expected an archive without a password"):
        list(read_labelled_texts(tmp_path / "a.csv"))


CORPORA = {
    "a.conllu": ("1\ta\ta\tX\tX\t_\t0\troot\t_\t_\n\n" * 3, read_conllu),
    "a.txt": ("a O\nb B-X\n\n" * 3, read_columns),
    "a.csv": ('text,label\n"a, b",x\nc,y\n' * 3, read_labelled_texts),
    "a.tsv": ("text\tlabel\na\tx\nc\ty\n" * 3, read_labelled_texts),
    "a.jsonl": ('{"text": "a", "label": "x"}\n' * 3, read_labelled_texts),
    "a.pairs.csv": ("text,label\na,x\nc,y\n" * 3, lambda path: list(read_pairs(path, "text", "label", format="csv"))),
    "a.en": ("a dog\na cat\n" * 3, lambda path: list(read_parallel(path, path))),
}


def mutated(content: bytes, source: random.Random) -> bytes:
    """A copy with bytes that are changed, removed, repeated or cut off at random places."""
    content = bytearray(content)
    for _ in range(source.randint(1, 3)):
        place = source.randrange(len(content) + 1)
        kind = source.randrange(4)
        if kind == 0:
            content[place : place + 1] = bytes([source.randrange(256)])
        elif kind == 1:
            del content[place : place + source.randint(1, 4)]
        elif kind == 2:
            content[place:place] = content[place : place + 8]
        else:
            del content[place:]
    return bytes(content)


@pytest.mark.parametrize("name", CORPORA)
def test_a_damaged_file_is_read_or_refused(tmp_path, name):
    content, read = CORPORA[name]
    plain = content.encode()
    packed = [pack(plain * 20) for pack in PACKERS.values()]
    path, source, refused = tmp_path / name, random.Random(name), 0
    for whole in packed:
        path.write_bytes(whole)
        list(read(path))
    for _ in range(200):
        path.write_bytes(mutated(source.choice([plain, *packed]), source))
        result = result_or_error(lambda: list(read(path)), DataError)
        if isinstance(result, DataError):
            refused += 1
            assert str(path) in str(result)
    assert refused > 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bytes")


@given(st.binary(max_size=60), st.sampled_from(sorted(CORPORA)))
@example(gzip.compress(b"text,label\na,x\n")[:-3], "a.csv")
@example(b"\x1f\x8b", "a.en")
@example(b"BZh9", "a.en")
@example(b"\xfd7zXZ\x00", "a.csv")
@example(zipped(b"text,label\na,x\n")[:-3], "a.csv")
def test_random_bytes_are_read_or_refused(folder, content, name):
    path = folder / name
    path.write_bytes(content)
    result = result_or_error(lambda: CORPORA[name][1](path), DataError)
    if isinstance(result, DataError):
        assert str(path) in str(result)
