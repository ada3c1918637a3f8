"""A split in a store is the same as in memory, and only a whole store of this version is read."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule, encoding, large_corpora
from datamodules import store as stores
from datamodules import store_manifest as manifests
from datamodules.errors import DataError
from datamodules.readers import file_parts
from datamodules.statistics import statistics_of
from datamodules.store import StoreWriter, open_store
from zoo.batches.ragged import Ragged

pytest.importorskip("pyarrow")
KEY = "a-key"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own, and shards of few rows."""
    monkeypatch.setattr(large_corpora, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(file_parts, "PART", 3000)
    monkeypatch.setattr(file_parts, "CHUNK", 30)
    monkeypatch.setattr(stores, "RELEASE", 7)
    return tmp_path / "cache"


def values(batch):
    """All tensors and texts of a batch."""
    if isinstance(batch, torch.Tensor):
        return batch.dtype, batch.tolist()
    return [values(part) for part in batch] if isinstance(batch, tuple) else batch


DATA = {
    "tagging": lambda **options: TaggingDataModule("sample-en", column="misc:NER", convert_to="BIOES", **options),
    "pairs": lambda **options: Seq2SeqDataModule("sample-phrases", **options),
    "pairs of words": lambda **options: Seq2SeqDataModule(
        "sample-headlines", tokenizer="words", joint=False, min_count=2, max_source=20, max_target=4, **options
    ),
    "labels": lambda **options: ClassificationDataModule("sample-topics", **options),
    "several labels": lambda **options: ClassificationDataModule("sample-topics", multi_label=True, **options),
    "pieces": lambda **options: ClassificationDataModule(
        "sample-reviews-en", tokenizer="sentencepiece", vocabulary_size=200, balance=True, **options
    ),
}


@pytest.mark.parametrize("task", DATA)
def test_a_store_is_the_split_in_memory(task, recwarn):
    stored, held = DATA[task](store=True), DATA[task](store=False)
    for data in (stored, held):
        data.setup("fit")
    assert stored.codec == held.codec
    assert stored.budget == held.budget
    assert stored.training_examples == held.training_examples
    if isinstance(stored, ClassificationDataModule):
        assert stored.class_weights == held.class_weights
        assert stored.counts("train") == held.counts("train")
    one, other = stored._encoded["train"], held._encoded["train"]
    assert np.array_equal(one.lengths, other.lengths)
    pairs = zip(stored.train_dataloader(), held.train_dataloader(), strict=True)
    assert all(values(batch) == values(expected) for batch, expected in pairs)
    pairs = zip(stored.val_dataloader(), held.val_dataloader(), strict=True)
    assert all(values(batch) == values(expected) for batch, expected in pairs)
    # Inputs that occur more than once are counted in memory alone.
    unknown = {"repeated": None, "in_train": None}
    for split in ("train", "dev"):
        assert statistics_of(stored, split) == {**statistics_of(held, split), **unknown}


WITH_VECTORS = {
    "tagging": lambda **options: TaggingDataModule("sample-en", **options),
    "classification": lambda **options: ClassificationDataModule("sample-topics", **options),
    "pairs": lambda **options: Seq2SeqDataModule("sample-phrases", tokenizer="words", **options),
}


@pytest.mark.parametrize("task", WITH_VECTORS)
def test_a_store_has_the_rows_of_imported_vectors(task, tmp_path):
    file = tmp_path / "v.txt"
    for words in (("the", "a"), ("a", "the", "is")):
        file.write_text("".join(f"{word} 1 {place}\n" for place, word in enumerate(words)))
        stored, held = (WITH_VECTORS[task](store=store, vectors=str(file)) for store in (True, False))
        for data in (stored, held):
            data.setup("fit")
        assert stored.codec == held.codec
        assert stored._coverage() == held._coverage()
        rows = range(20)
        one, other = (data._encoded["train"].batch(rows) for data in (stored, held))
        assert values(one) == values(other)
        assert "1" in str(values(one))


@pytest.mark.parametrize("task", DATA)
def test_a_store_is_built_once_and_for_its_codec(task, monkeypatch, cache):
    first = DATA[task](store=True)
    first.setup("fit")
    monkeypatch.setattr(encoding, "in_processes", None)  # nothing can be built now
    again = DATA[task](store=True)
    again.setup("fit")
    assert again.codec == first.codec
    with pytest.raises(TypeError):
        DATA[task](store=True, codec=first.codec).setup("fit")


def test_a_file_that_has_changed_is_encoded_anew(tmp_path):
    path = tmp_path / "a.txt"
    for word in ("b", "c"):
        path.write_text(f"a X\n{word} Y\n\n")
        data = TaggingDataModule(train=str(path), dev=str(path), store=True)
        data.setup("fit")
        assert list(data.codec.words[2:]) == ["a", word]


def test_the_size_of_the_files_decides(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("a X\nb Y\n\n")
    assert not large_corpora.is_large([path], "by_size")
    monkeypatch.setattr(large_corpora, "LARGE", 5)
    assert large_corpora.is_large([path], "by_size")
    assert not large_corpora.is_large([path], False)
    assert large_corpora.is_large([path], True)


LISTS = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=5), min_size=1, max_size=12)


def build(writer: StoreWriter, lists, *, wait: Path | None = None) -> None:
    index = []
    for number, start in enumerate(range(0, len(lists), 5)):
        part = lists[start : start + 5]
        index.append(writer.write_shard(number, {"ids": Ragged.of(part), "sizes": np.array(list(map(len, part)))}))
        if wait is not None:
            wait.touch()
            time.sleep(60)
    joined = {name: np.concatenate([part[name] for part in index]) for name in index[0]}
    writer.write_table("pairs", {"two": np.array([[1, 0], [0, 1]], dtype=np.uint8)})
    writer.finish(joined, {"a fact": [1, "x"]})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(lists=LISTS, data=st.data())
def test_columns_come_back(lists, data, tmp_path):
    folder = tmp_path / "stores"
    shutil.rmtree(folder, ignore_errors=True)
    store = open_store(folder, KEY, lambda writer: build(writer, lists))
    ragged = store.ragged("ids")
    assert [ragged[row].tolist() for row in range(len(ragged))] == lists
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), min_size=1, max_size=9))
    expected = Ragged.of(lists)
    assert torch.equal(ragged.padded(rows), expected.padded(rows))
    assert ragged.lengths.tolist() == store.flat("sizes").tolist() == expected.lengths.tolist()
    assert store.facts == {"a fact": [1, "x"]}
    assert store.table("pairs")["two"].tolist() == [[1, 0], [0, 1]]


LETTERS = [[number, number + 1] for number in range(12)]


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    """One other byte, in a file of the same size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def swap(folder: Path) -> None:
    """A whole file of another store in the place of one, of the same size."""
    other = folder.parent / "other"
    open_store(other.parent, "other", lambda writer: build(writer, LETTERS[::-1]))
    shutil.copy(other / "00001.arrow", folder / "00001.arrow")


def change(folder: Path, **changes) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


DAMAGES = {
    "torn": lambda folder: tear(folder / "00001.arrow"),
    "changed": lambda folder: flip(folder / "00001.arrow"),
    "with changed facts": lambda folder: flip(folder / "facts.json"),
    # It is opened later than the others.
    "with a torn table": lambda folder: tear(folder / "pairs.arrow"),
    "missing": lambda folder: (folder / "00000.arrow").unlink(),
    "swapped": swap,
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "a broken manifest": lambda folder: (folder / "manifest.json").write_text("{"),
    "another kind of manifest": lambda folder: (folder / "manifest.json").write_text("[1]"),
    "foreign": lambda folder: change(folder, format="another program's"),
    "of another key": lambda folder: change(folder, key="another"),
    "older": lambda folder: change(folder, version=0),
    "a file": lambda folder: (shutil.rmtree(folder), folder.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_noticed_and_built_anew(damage, tmp_path):
    open_store(tmp_path, KEY, lambda writer: build(writer, LETTERS))
    DAMAGES[damage](tmp_path / KEY)
    built = []
    with pytest.warns(UserWarning, match="damaged and built anew"):
        store = open_store(tmp_path, KEY, lambda writer: (build(writer, LETTERS), built.append(1)))
    assert built == [1]
    ragged = store.ragged("ids")
    assert [ragged[row].tolist() for row in range(12)] == LETTERS


def test_sums_are_computed_again_for_a_copied_store_alone(tmp_path, monkeypatch):
    open_store(tmp_path, KEY, lambda writer: build(writer, LETTERS))
    read = []
    sum_of = manifests._sum_of
    monkeypatch.setattr(manifests, "_sum_of", lambda path: read.append(path.name) or sum_of(path))
    open_store(tmp_path, KEY, None)
    assert read == []
    copies = tmp_path / "copies"
    shutil.copytree(tmp_path / KEY, copies / KEY)
    for _ in range(2):
        open_store(copies, KEY, None)
        assert sorted(read) == [
            "00000.arrow", "00001.arrow", "00002.arrow", "facts.json", "index.arrow", "pairs.arrow"
        ]  # fmt: skip


def test_a_newer_store_is_refused(tmp_path):
    open_store(tmp_path, KEY, lambda writer: build(writer, LETTERS))
    # It may have a manifest of another form.
    change(tmp_path / KEY, version=manifests.VERSION + 1, files="another")
    with pytest.raises(DataError, match="a newer lstm-zoo"):
        open_store(tmp_path, KEY, lambda writer: build(writer, LETTERS))
    assert (tmp_path / KEY / "00000.arrow").exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"file.*--data.store false"):
        open_store(tmp_path / "file" / "stores", KEY, lambda writer: build(writer, LETTERS))


def test_a_killed_builder_leaves_nothing_under_the_name(tmp_path):
    context = multiprocessing.get_context("fork")
    begun = tmp_path / "begun"
    killed = context.Process(target=open_store, args=(tmp_path, KEY, lambda writer: build(writer, LETTERS, wait=begun)))
    killed.start()
    while not begun.exists():
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert not (tmp_path / KEY).exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = open_store(tmp_path, KEY, lambda writer: build(writer, LETTERS))
    assert len(store.ragged("ids")) == 12
    assert sorted(path.name for path in (tmp_path / KEY).iterdir()) == [
        "00000.arrow", "00001.arrow", "00002.arrow", "facts.json", "index.arrow", "manifest.json", "pairs.arrow",
        "seal.json",
    ]  # fmt: skip


def test_only_what_no_process_builds_any_more_is_removed(tmp_path):
    for key in ("abandoned", "in-work"):
        (tmp_path / f"{key}.building").mkdir()
    with FileLock(tmp_path / "in-work.lock"):
        open_store(tmp_path, KEY, lambda writer: build(writer, LETTERS))
    assert sorted(path.name for path in tmp_path.glob("*.building")) == ["in-work.building"]


def build_slowly(folder: Path, queue) -> None:
    def slow(writer: StoreWriter) -> None:
        time.sleep(0.3)
        queue.put("built")
        build(writer, LETTERS)

    queue.put(len(open_store(folder, KEY, slow).ragged("ids")))


def test_one_of_two_processes_builds_and_the_other_waits(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    both = [context.Process(target=build_slowly, args=(tmp_path, queue)) for _ in range(2)]
    for process in both:
        process.start()
    found = [queue.get(timeout=30) for _ in range(3)]
    for process in both:
        process.join()
    assert sorted(map(str, found)) == ["12", "12", "built"]


def test_a_killed_worker_is_explained():
    def work(item: int) -> int:
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(DataError, match="killed"):
        list(encoding.in_processes(work, range(9)))


def test_workers_end_with_the_process_that_has_started_them(tmp_path):
    def work(item: int) -> None:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(60)

    context = multiprocessing.get_context("fork")
    killed = context.Process(target=lambda: list(encoding.in_processes(work, range(2))))
    killed.start()
    while not (workers := [int(path.name) for path in tmp_path.iterdir() if path.name.isdecimal()]):
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    deadline = time.monotonic() + 20
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    """Whether a process runs; a zombie does not."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


def test_results_come_in_order():
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(encoding.in_processes(work, range(20))) == [n * n for n in range(20)]
