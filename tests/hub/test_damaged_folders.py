"""Damaged model folders: each gives the same answers, or an error that says so; none hangs or takes memory."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from outcomes import result_or_error

import zoo
from tools.damage import damage
from zoo.codecs import ClassificationCodec, Seq2SeqCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.models.options import POINTER_GENERATOR, CharacterOptions, SearchOptions

TEXTS = ["free prize now", "see you at home", "so it is"]
MUTANTS = int(os.environ.get("ZOO_MUTANTS", "60"))


def tagger() -> zoo.SequenceTagger:
    words = ["<pad>", "<unk>", *"free prize now see you at home so it is".split()]
    codec = TaggingCodec(words, ["<pad>", "<unk>", *"abcdefghi"], ["O", "B-X", "I-X"], scheme="BIO")
    characters = CharacterOptions(embedding_size=3, output_size=4)
    # Its words are enough to be stored in int8.
    return zoo.SequenceTagger(codec, head="crf", hidden_size=4, embedding_size=90, characters=characters, num_layers=1)


def classifier() -> zoo.TextClassifier:
    words = ["<pad>", "<unk>", *"free prize now see you at home so it is".split()]
    return zoo.TextClassifier(
        ClassificationCodec(words, ["ham", "spam"]), hidden_size=4, embedding_size=3, pooling="mean+attention"
    )


def writer() -> zoo.Seq2Seq:
    words = [*zoo.text.reversible.SPECIALS, *"free prize now see you at home so it is".split()]
    return zoo.Seq2SeqSummarizer(
        Seq2SeqCodec(words, tokenizer="words", max_target=5),
        encoder_size=3,
        decoder_size=4,
        embedding_size=3,
        attention=replace(POINTER_GENERATOR, size=3),
        search=SearchOptions(beam=1),
    )


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices")
@pytest.mark.parametrize(
    ("make", "dtype"),
    [(tagger, "int8"), (classifier, "float32"), (writer, "float16")],
    ids=["tagger", "classifier", "writer"],
)
def test_a_damaged_folder_predicts_the_same_or_is_refused(make, dtype, tmp_path):
    torch.manual_seed(0)
    whole = make().save_pretrained(tmp_path / "whole", dtype=dtype)
    expected = zoo.from_pretrained(whole).predict(TEXTS)
    dice = random.Random(f"damaged {make.__name__}")
    outcomes = {"alike": 0, "refused": 0, "loaded": 0}
    for number in range(MUTANTS):
        folder = shutil.copytree(whole, tmp_path / "mutant")
        signed = damage(folder, dice)
        model = result_or_error(partial(zoo.from_pretrained, folder), ZooError)
        if isinstance(model, ZooError):
            assert str(folder) in str(model) and len(str(model)) < 2000, number
            outcomes["refused"] += 1
        else:
            if not signed:
                assert model.predict(TEXTS) == expected, number
            outcomes["loaded" if signed else "alike"] += 1
        shutil.rmtree(folder)
    assert all(outcomes.values()), outcomes
