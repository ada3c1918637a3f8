"""What `predict` does to files: a chunk at a time, an output whole or not at all."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from command_line import run_python

from recipes.prediction.inputs import Source
from recipes.prediction.streams import CHUNK, LONG, stream
from recipes.sentiment import RECIPE
from zoo import TextClassifier
from zoo.codecs import ClassificationCodec
from zoo.errors import ZooError


def shout(source: Path | str, target: Path | str, overwrite: bool = False) -> None:
    def upper(chunk):
        return (item.content.upper() + "\n" for item in chunk)

    stream(Source(str(source), "text"), upper, "texts", output=str(target), overwrite=overwrite)


PEAKS = """
import resource
from recipes.sentiment import RECIPE
for texts in (2_000, 20_000):
    with open("many.txt", "w") as file:
        file.writelines(f"number {i} of many short texts\\n" for i in range(texts))
    RECIPE.predict(RECIPE, ["many.txt", "--model=model", "--output=out.tsv", "--overwrite"])
    with open("out.tsv") as file:
        print(sum(1 for _ in file), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_is_bounded_however_many_texts_there_are(tmp_path):
    pytest.importorskip("resource")
    model = TextClassifier(
        ClassificationCodec(["<pad>", "<unk>", "many"], ["no", "yes"]), hidden_size=2, embedding_size=2
    )
    model.save_pretrained(tmp_path / "model")
    lines = run_python("-c", PEAKS, cwd=tmp_path).stdout.splitlines()
    (few, peak_of_few), (many, peak_of_many) = (map(int, line.split()) for line in lines)
    assert (few, many) == (2_001, 20_001)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    assert (peak_of_many - peak_of_few) / unit < 8  # megabytes


def test_the_output_may_be_the_input(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a\n\nb\n" * CHUNK, encoding="utf-8")
    with pytest.raises(ZooError, match="--overwrite"):
        shout(path, path)
    (tmp_path / "link").symlink_to(path)
    shout(path, tmp_path / "link", overwrite=True)
    assert path.read_text("utf-8") == "A\n\nB\n" * CHUNK
    assert (tmp_path / "link").is_symlink() and len(list(tmp_path.iterdir())) == 2


def test_long_items_are_processed_one_by_one(tmp_path):
    (tmp_path / "a.txt").write_text("b\n" + ("a" * LONG + "\n") * 3 + "b\n" * 3, encoding="utf-8")
    chunks = []

    def write(chunk):
        chunks.append([len(item) for item in chunk])
        return []

    stream(Source(str(tmp_path / "a.txt"), "text"), write, "texts", output="/dev/null", overwrite=True)
    assert chunks == [[1, LONG], [LONG], [LONG], [1, 1, 1]]


def test_an_error_midway_keeps_the_old_output(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\n" * 3 * CHUNK + b"\xe9\n")
    (tmp_path / "b.txt").write_text("old")
    with pytest.raises(ZooError, match=rf"a.txt:{3 * CHUNK + 1}: expected UTF-8 text, got the byte 0xe9"):
        shout(tmp_path / "a.txt", tmp_path / "b.txt", overwrite=True)
    assert (tmp_path / "b.txt").read_text() == "old" and len(list(tmp_path.iterdir())) == 2


def test_standard_input_that_is_no_text_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfa\n\xe9\n")))
    with pytest.raises(ZooError, match="standard input:2: expected UTF-8 text, got the byte 0xe9"):
        shout("-", tmp_path / "b.txt")


@pytest.mark.parametrize("target", ["nowhere/b.txt", "."])
def test_an_output_that_cannot_be_written_is_named(tmp_path, target):
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(ZooError, match="expected a file that can be written, got: .* directory"):
        shout(tmp_path / "a.txt", tmp_path / target, overwrite=True)


def test_a_device_is_written_to_and_not_replaced(tmp_path):
    (tmp_path / "a.txt").write_text("a\n")
    shout(tmp_path / "a.txt", "/dev/null", overwrite=True)
    assert Path("/dev/null").is_char_device()


def test_texts_that_were_empty_or_cut_are_counted(tmp_path, capsys):
    model = TextClassifier(
        ClassificationCodec(["<pad>", "<unk>", "a"], ["no", "yes"], max_length=3), hidden_size=2, embedding_size=2
    )
    folder = model.save_pretrained(tmp_path / "model")
    for texts, counted in (["a", "", "a a a a", " "], "4 texts, 2 empty, 1 truncated\n"), (["a"], ""):
        (tmp_path / "a.txt").write_text("\n".join(texts) + "\n")
        RECIPE.predict(RECIPE, [str(tmp_path / "a.txt"), "--model", str(folder), "--format=jsonl"])
        printed = capsys.readouterr()
        assert [json.loads(line)["text"] for line in printed.out.splitlines()] == texts
        assert printed.err == counted
