"""Word vectors are read in all published forms, and training says how much of a text they cover."""

from __future__ import annotations

import gzip
import math
import struct

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outcomes import result_or_error

from datamodules import ClassificationDataModule, DataError, TaggingDataModule
from datamodules.readers.vectors import coverage, read_vectors
from zoo import SequenceTagger
from zoo.text import PAD, UNKNOWN, Vocabulary


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")

    def write(content: str | bytes, name: str = "v.vec"):
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("content", "words", "size"),
    [
        ("2 3\n. . . 0.4 0.5 0.6\nthe 0.1 0.2 0.3\n", [". . .", "the"], 3),
        (". . . 0.4 0.5 0.6\nthe 0.1 0.2 0.3\n", [". . .", "the"], 3),
        ("2 2\nthe 0.1 0.2\nno 1 0.4 0.5\n", ["the", "no 1"], 2),
        ("\ufeffthe 0.1 0.2\na 0.3 0.4\n", ["the", "a"], 2),
        ("\ufeff2 2\nthe 0.1 0.2\na 0.3 0.4\n", ["the", "a"], 2),
        ("the\t0.1 0.2\na\t0.3\t0.4\n", ["the", "a"], 2),
        ("2 2\r\nthe\t0.1 0.2 \r\na\t0.3 0.4\r\n", ["the", "a"], 2),
        ("1900 0.1 0.2\na\u00a0b\u2028c 0.3 0.4\n", ["1900", "a\u00a0b\u2028c"], 2),
    ],
)
def test_published_forms_are_read(write, content, words, size):
    for path in (write(content), write(gzip.compress(content.encode()), "v.gz")):
        read, table = read_vectors(path)
        assert (read, tuple(table.shape)) == (words, (len(words), size))
        last = content.replace("\t", " ").strip().split("\n")[-1].split(" ")[-size:]
        assert table[-1].tolist() == torch.tensor(list(map(float, last))).tolist()


WORD = st.text(st.characters(exclude_characters="\t\r\n ", exclude_categories=["Cs"]), min_size=1, max_size=5).filter(
    lambda word: word not in (PAD, UNKNOWN) and not word.startswith("\ufeff")
)


@settings(deadline=None)
@given(st.lists(WORD, min_size=1, max_size=6, unique=True), st.integers(2, 4), st.booleans(), st.sampled_from(" \t"))
def test_vectors_are_read_as_written(write, words, size, header, separator):
    table = torch.randn(len(words), size)
    lines = [f"{len(words)} {size}"] * header
    lines += [separator.join([word, *map(repr, row)]) for word, row in zip(words, table.tolist(), strict=True)]
    read, vectors = read_vectors(write("\n".join(lines)))
    assert read == words
    assert torch.equal(vectors, table)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(st.sampled_from("a1. \t\n-e\ufeff"), max_size=60).map(str.encode))
@example(b"3 -1\na 1\n")
@example(b"1 0\na 1\n")
@example(b"\xff\xfea\x00 \x001\x00\n\x00b")
def test_random_bytes_are_vectors_or_raise_a_data_error(write, content):
    result = result_or_error(lambda: read_vectors(write(content)), DataError)
    if isinstance(result, DataError):
        assert str(result)
    else:
        words, table = result
        assert len(words) == len(table) > 0
        assert table.isfinite().all()


def test_rows_with_undecodable_words_are_left_out_and_counted(write):
    with pytest.warns(UserWarning, match="1 rows are skipped.*the first is line 2"):
        assert read_vectors(write(b"the 0.1 0.2\nb\xc3 0.3 0.4\na 1 2\n"))[0] == ["the", "a"]
    with pytest.raises(DataError, match=r"v.vec:1: expected UTF-8 text.*2 of 3 rows.*iconv"):
        read_vectors(write("für 0.1 0.2\ndie 0.3 0.4\nTür 1 2\n".encode("latin1")))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("2 2\nthe 0.1 0.2 0.3\n", ":2: expected a word and 2 numbers, as the first line says, got 3"),
        ("2 3\nthe 0.1 0.2\n", ":2: expected a word and 3 finite numbers"),
        ("2 3\n", "a file without any"),
        (b"the \x01\xf0\x80\x3f\n", ":1: expected a word and its numbers in UTF-8, got a binary file"),
    ],
)
def test_files_without_vectors_are_explained(write, content, said):
    with pytest.raises(DataError, match=said):
        read_vectors(write(content))


def word2vec(rows: dict[bytes, list[float]], header: str | None = None, end: bytes = b"\n") -> bytes:
    size = len(next(iter(rows.values())))
    lines = [word + b" " + struct.pack(f"<{size}f", *values) + end for word, values in rows.items()]
    return (header or f"{len(rows)} {size}").encode() + b"\n" + b"".join(lines)


@given(
    st.lists(WORD, min_size=1, max_size=6, unique=True),
    st.integers(2, 40),
    st.sampled_from([b"\n", b""]),
    st.booleans(),
)
def test_binary_vectors_are_read_as_written(write, words, size, end, packed):
    table = torch.randn(len(words), size)
    rows = {word.encode(): row for word, row in zip(words, table.tolist(), strict=True)}
    content = word2vec({**rows, PAD.encode(): [0.0] * size}, end=end)
    read, vectors = read_vectors(write(gzip.compress(content) if packed else content, "v.bin"))
    assert read == words
    assert torch.equal(vectors, table)
    assert read_vectors(write(content), limit=1)[0] == words[:1]


def test_rows_of_binary_vectors_with_undecodable_words_are_left_out_and_counted(write):
    rows = {b"the": [0.0, 1.0], b"b\xc3": [0.0, 2.0], b"a": [0.0, 3.0]}
    with pytest.warns(UserWarning, match="1 rows are skipped.*the first is row 2"):
        assert read_vectors(write(word2vec(rows)))[0] == ["the", "a"]


def gzipped(content: bytes) -> bytes:
    """Without the time of the compression: the names of tests must be the same in all processes that run them."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            word2vec({b"the": [0.0, 1.0], b"a": [0.0, 1.0]})[:-9],
            "v.bin:1: .* got 2 rows of 2 features in 15 bytes: the file is",
        ),
        (
            gzipped(word2vec({b"the": [0.0, 1.0]})[:-3]),
            "v.bin: expected 1 rows of 2 features.*, got 0: the file",
        ),
        (word2vec({b"the": [0.0, 1.0]}, "1 1152921504606846976"), "v.bin:1: .*got 1 rows of 1,152,921,504,606,846,976"),
        (word2vec({b"the": [0.0, 1.0]}, "999999999999 2"), "v.bin:1: .*got 999,999,999,999 rows"),
        (gzipped(word2vec({b"the": [0.0, 1.0]}, "999999999999 2")), "v.bin: expected 999,999,999,999.*got 1"),
        (word2vec({b"the": [0.0] * 9000}, "1 2"), "v.bin:1: .*got 1 rows of 2 features in 36,005 bytes"),
        (word2vec({b"the": [0.0, math.inf]}), "v.bin: expected finite numbers, got NaN or inf in row 1"),
        (b"\xba\x16O/" + bytes(99), "v.bin: expected word vectors, got a model of fastText: .*.vec"),
    ],
)
def test_binary_files_without_vectors_are_explained(write, content, said):
    with pytest.raises(DataError, match=said):
        read_vectors(write(content, "v.bin"))


@given(st.data())
def test_damaged_binary_vectors_are_read_or_refused(write, data):
    content = bytearray(word2vec({b"the": [0.5, 1.0], b"cat": [0.25, -1.0]}))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    result = result_or_error(lambda: read_vectors(write(bytes(content), "v.bin")), DataError)
    assert isinstance(result, DataError) or result[1].isfinite().all()


def test_coverage_counts_words_and_tokens():
    vectors = Vocabulary([PAD, UNKNOWN, "the", "cat", "Bonn"])
    tokens = ["The", "the", "the", "Bonn", "bonn", UNKNOWN, PAD, "x"]
    line = coverage(vectors, tokens, fold=True)
    assert line == "3 of 7 (42.9 %) words and 4 of 8 (50.0 %) tokens of train have a vector"
    assert coverage(vectors, tokens, fold=False).startswith("2 of 7 (28.6 %) words and 3 of 8 (37.5 %) tokens")
    assert coverage(vectors, tokens, fold=False).endswith("do they write capitals as the text does?")


def test_training_says_once_what_the_vectors_cover(write, capsys):
    path = str(write("the 1 2\nof 3 -4\n"))
    data = TaggingDataModule("sample-en", vectors=path)
    model = SequenceTagger(data.codec, hidden_size=4, characters={"output_size": 0})
    trainer = pl.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(path)]
    assert len(lines) == 1
    tokens = [token.lower() for sentence in data.sentences("train") for token in sentence.tokens]
    assert f"{tokens.count('the') + tokens.count('of'):,} of {len(tokens):,}" in lines[0]


def test_the_coverage_of_texts_looks_up_their_tokens(write):
    data = ClassificationDataModule("sample-spam", vectors=str(write("you 1 2\n")))
    assert "you" in set(data._training_words())
