"""Damaged model folders: each gives the same answers, or an error that says so; none hangs or takes memory."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from outcomes import result_or_error

import zoo
from zoo.codecs import ClassificationCodec, Seq2SeqCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.models.options import POINTER_GENERATOR, CharacterOptions, SearchOptions

FILES = ["config.json", "codec.json", "model.safetensors"]
TEXTS = ["free prize now", "see you at home", "so it is"]
MUTANTS = int(os.environ.get("ZOO_MUTANTS", "60"))
ODD = [None, True, -1, 0, 1.5, 10**6, 10**12, 10**30, float("nan"), "", "x", "<pad>", "\ud800", [], [[]], {}, ["a"]]


def tagger() -> zoo.SequenceTagger:
    words = ["<pad>", "<unk>", *"free prize now see you at home so it is".split()]
    codec = TaggingCodec(words, ["<pad>", "<unk>", *"abcdefghi"], ["O", "B-X", "I-X"], scheme="BIO")
    characters = CharacterOptions(embedding_size=3, output_size=4)
    return zoo.SequenceTagger(codec, head="crf", hidden_size=4, embedding_size=3, characters=characters, num_layers=1)


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


def damage_bytes(content: bytes, dice: random.Random) -> bytes:
    """Some bytes changed, cut out, put in, or said twice."""
    content = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 8])):
        start = dice.randrange(len(content) + 1)
        end = min(len(content), start + dice.choice([1, 4, 100]))
        other = bytes(dice.randrange(256) for _ in range(end - start))
        content[start:end] = dice.choice([other, b"", content[start:end] * 2, b"[" * 100_000, b"\0"])
    return bytes(content)


def damage_json(content: bytes, dice: random.Random) -> bytes:
    """Well-formed still: a value that is another one, is missing, or changes places with its neighbour."""
    value = json.loads(content)
    parent = value
    while True:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        if not keys:
            return content
        key = dice.choice(keys)
        if not isinstance(parent[key], dict | list) or dice.random() < 0.1:
            break
        parent = parent[key]
    other = dice.choice(keys)
    change = dice.choice(["odd", "swap", "drop", "rename"])
    if change == "odd":
        parent[key] = dice.choice(ODD)
    elif change == "swap":
        parent[key], parent[other] = parent[other], parent[key]
    elif change == "drop" or isinstance(parent, list):
        del parent[key]
    else:
        parent[f"{key}s"] = parent.pop(key)
    return json.dumps(value).encode()


def damage_entry(path: Path) -> list:
    """Ways for a file to be none."""
    return [
        path.unlink,
        lambda: (path.unlink(), os.mkfifo(path)),
        lambda: (path.unlink(), path.mkdir()),
        lambda: (path.unlink(), path.symlink_to(path)),
        lambda: (path.unlink(), path.symlink_to("/dev/zero")),
        # The rest of the file is a hole.
        lambda: os.truncate(path, 10**9),
    ]


def sign(folder: Path) -> None:
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / "card.json").write_text(json.dumps({"sha256": sums}))


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices")
@pytest.mark.parametrize("make", [tagger, classifier, writer], ids=lambda make: make.__name__)
def test_a_damaged_folder_predicts_the_same_or_is_refused(make, tmp_path):
    torch.manual_seed(0)
    whole = make().save_pretrained(tmp_path / "whole")
    expected = zoo.from_pretrained(whole).predict(TEXTS)
    dice = random.Random(f"damaged {make.__name__}")
    outcomes = {"alike": 0, "refused": 0, "loaded": 0}
    for number in range(MUTANTS):
        folder = shutil.copytree(whole, tmp_path / "mutant")
        name = dice.choice([*FILES, "card.json"])
        path, signed = folder / name, False
        if dice.random() < 0.1:
            dice.choice(damage_entry(path))()
        else:
            is_json = name.endswith(".json") and dice.random() < 0.7
            path.write_bytes((damage_json if is_json else damage_bytes)(path.read_bytes(), dice))
            # Half of the changes also correct the sum in the card.
            if name != "card.json" and dice.random() < 0.5:
                sign(folder)
                signed = True
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
