"""The nearest training examples of a text are those with the most similar pooled states."""

from __future__ import annotations

import pytest
import torch

import zoo
from datamodules import (
    ClassificationDataModule,
    LanguageModelingDataModule,
    Seq2SeqDataModule,
    TaggingDataModule,
)
from zoo.errors import ZooError

SIZES = dict(encoder_size=8, decoder_size=8, embedding_size=8)
MAKERS = {
    "classifier": lambda: (ClassificationDataModule("sample-spam"), zoo.TextClassifier, dict(hidden_size=8)),
    "tagger": lambda: (TaggingDataModule("sample-en"), zoo.SequenceTagger, dict(hidden_size=8)),
    "writer": lambda: (Seq2SeqDataModule("sample-phrases"), zoo.Seq2Seq, SIZES),
    "language model": lambda: (LanguageModelingDataModule("sample-text-en"), zoo.LanguageModel, dict(hidden_size=8)),
}


def input_of(example) -> object:
    return next((getattr(example, name) for name in ("tokens", "text", "source") if hasattr(example, name)), example)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_training_example_is_nearest_to_itself(make):
    data, kind, options = make()
    torch.manual_seed(0)
    model = kind(data.codec, **options)
    examples = data.examples("train")
    rows = [3, 17]
    found = zoo.nearest_examples(model, [input_of(examples[row]) for row in rows], data, number=3)
    for row, neighbours in zip(rows, found, strict=True):
        similarities = [neighbour.similarity for neighbour in neighbours]
        assert similarities == sorted(similarities, reverse=True) and len(neighbours) == 3
        assert similarities[0] == pytest.approx(1, abs=1e-5)
        assert input_of(neighbours[0].example) == input_of(examples[row])
        assert neighbours[0].example == examples[neighbours[0].row]
    assert model.training


def test_the_similarity_is_the_cosine_of_the_pooled_states():
    model = zoo.from_pretrained("spam-en-sms")
    texts = ["Claim your free prize", "See you at eight", "", "call now"]
    (found,) = zoo.nearest_examples(model, ["Your prize"], texts, number=10)
    assert {neighbour.example for neighbour in found} == set(texts)

    def state(text: str) -> torch.Tensor:
        return model.encode(model.codec.dataset([model.codec.preprocessor(text)], [["ham"]]).batch([0]).inputs).vectors

    for neighbour in found:
        assert neighbour.example == texts[neighbour.row]
        expected = torch.cosine_similarity(state("Your prize"), state(neighbour.example)).item()
        assert neighbour.similarity == pytest.approx(expected if neighbour.example else 0, abs=1e-5)


@pytest.mark.parametrize(
    "given, examples, options, message",
    [
        ("text", ["a"], {}, "put it into a list"),
        (["text"], "a", {}, "put it into a list"),
        (["text"], [3], {}, "3 .int. at place 0"),
        (["text"], [], {}, "expected examples to search, got none"),
        ([""], ["a"], {}, "at least one token"),
        (["text"], ["", " "], {}, "at least one token"),
        (["text"], ["a"], dict(number=0), "number of examples of at least 1, got 0"),
        (["text"], ["a"], dict(max_tokens=0), "max_tokens"),
    ],
)
def test_what_cannot_be_searched_is_refused(given, examples, options, message):
    with pytest.raises(ZooError, match=message):
        zoo.nearest_examples(zoo.from_pretrained("spam-en-sms"), given, examples, **options)
