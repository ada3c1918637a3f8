"""A split that is encoded keeps no strings of its corpus."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule, large_corpora
from datamodules.examples import LabelledText, TaggedSentence
from zoo.batches.seq2seq import Pair

DATA = {
    "tagging": (TaggingDataModule, dict(dataset="sample-en"), TaggedSentence),
    "classification": (ClassificationDataModule, dict(dataset="sample-topics"), LabelledText),
    "seq2seq": (Seq2SeqDataModule, dict(dataset="sample-phrases", tokenizer="words"), Pair),
}


def held(data, kind: type) -> int:
    """How many examples, or other strings than those of the codec, can be reached from a datamodule."""
    found, seen, waiting = 0, set(), [vars(data)]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or thing is data.codec or isinstance(thing, type | np.ndarray):
            continue
        seen.add(id(thing))
        found += isinstance(thing, kind)
        waiting += [other for other in gc.get_referents(thing) if not callable(other)]
    return found


@pytest.mark.parametrize("task", DATA)
def test_a_training_holds_no_example_as_strings(task):
    make, options, kind = DATA[task]
    data = make(**options)
    _ = data.codec
    assert held(data, kind) > 0
    data.setup("fit")
    # Of pairs to evaluate on, the texts are compared with what a model writes.
    evaluated = len(data._encoded["dev"]) if task == "seq2seq" else 0
    assert held(data, kind) == evaluated


@pytest.mark.parametrize("task", DATA)
def test_stored_splits_hold_no_example_as_strings(task, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(large_corpora, "cache_folder", lambda: tmp_path)
    make, options, kind = DATA[task]
    data = make(**options, store=True)
    data.setup("fit")
    assert held(data, kind) == 0


@pytest.mark.parametrize("task", DATA)
def test_counts_and_examples_are_the_same_after_encoding(task):
    make, options, _ = DATA[task]
    read = {"tagging": "sentences", "classification": "texts", "seq2seq": "pairs"}[task]
    before, after = make(**options), make(**options)
    after.setup("fit")
    for split in ("train", "dev"):
        assert getattr(before, read)(split) == getattr(after, read)(split)
    assert before.training_examples == after.training_examples
    assert before.training_tokens == after.training_tokens
    assert before.budget == after.budget
