"""Examples of dev and test that are in train too are counted once, in plain words, at no noticeable cost."""

from __future__ import annotations

import time
import warnings

import pytest

from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.overlap import Overlap


def said(data, *stages: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for stage in stages:
            data.setup(stage)
    return [str(one.message).split(":")[0] for one in caught if "in train too" in str(one.message)]


def write(path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_texts_that_are_in_train_too_are_counted(tmp_path):
    train = write(tmp_path / "train.csv", "label,text", "a,one", "b,two", "b,two", "b,three")
    dev = write(tmp_path / "dev.csv", "label,text", "a,one", "a,three", "b,four", "b,One")
    test = write(tmp_path / "test.csv", "label,text", "a,five")
    data = ClassificationDataModule(train=train, dev=dev, test=test, min_count=1)
    assert said(data, "fit", "test", "fit") == ["2 of 4 examples of dev (50.0 %) are in train too"]


def test_sentences_and_sources_that_are_in_train_too_are_counted(tmp_path):
    train = write(tmp_path / "train.txt", "a A", "b B", "", "c C")
    test = write(tmp_path / "test.txt", "a A", "b A", "", "d A")
    assert said(TaggingDataModule(train=train, dev=train, test=test), "fit", "test") == [
        "2 of 2 examples of dev (100.0 %) are in train too",
        "1 of 2 examples of test (50.0 %) are in train too",
    ]
    train = write(tmp_path / "train.tsv", "source\ttarget", "a b\tx", "c d\ty")
    dev = write(tmp_path / "dev.tsv", "source\ttarget", "a b\tz", "c\ty")
    data = Seq2SeqDataModule(train=train, dev=dev, tokenizer="words")
    assert said(data, "fit") == ["1 of 2 examples of dev (50.0 %) are in train too"]


def test_the_order_of_the_splits_does_not_matter():
    overlap = Overlap()
    overlap.add("dev", ["a", "b"])
    overlap.add("test", ["c"])
    with pytest.warns(UserWarning, match=r"1 of 2 examples of dev \(50.0 %\)"):
        overlap.add("train", ["b", "b"])


def test_comparing_a_corpus_of_the_size_of_ewt_takes_milliseconds():
    sentences = [
        (f"word{number}", *"a sentence of several words and a few others here".split()) for number in range(16_000)
    ]
    started = time.perf_counter()
    overlap = Overlap()
    overlap.add("train", sentences[:12_500])
    overlap.add("dev", sentences[12_500:])
    assert time.perf_counter() - started < 0.2
