"""A tagger or classifier that starts from language models computes at first what they compute."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import zoo
from datamodules import ClassificationDataModule, LanguageModelingDataModule, Seq2SeqDataModule, TaggingDataModule
from zoo.codecs.language_modeling import END_ID
from zoo.errors import ZooError
from zoo.hub.fine_tuning import adapted
from zoo.nn.cells import CELLS
from zoo.text import Vocabulary

SIZES = {"hidden_size": 4, "num_layers": 2, "embedding_size": 3}
TEXT = "The driver works , and SHE sings ."
TOKENIZERS = ("whitespace", "words", "characters", "bytes", "sentencepiece")


def language_model(codec, *, backward: bool = False, **options) -> zoo.LanguageModel:
    model = zoo.LanguageModel(replace(codec, backward=backward), **{**SIZES, **options}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture(scope="module")
def words():
    return LanguageModelingDataModule("sample-text-en", lowercase=True).codec


@pytest.fixture(scope="module")
def reviews(words):
    return ClassificationDataModule("sample-reviews-en", extends=words)


def started(models, codec, **arguments):
    return adapted(models, "LM", labels=None, codec=codec, arguments=arguments).eval()


def states(model: zoo.LanguageModel, ids: list[int]) -> torch.Tensor:
    """The outputs of a language model at the tokens of a text, in the order of the text."""
    if model.codec.backward:
        ids = ids[::-1]
    outputs = model.backbone(model.embedding(torch.tensor([ids])), torch.tensor([len(ids)])).sequence[0]
    return outputs.flip(0) if model.codec.backward else outputs


def compare(model: torch.nn.Module, x: torch.Tensor, models: list[zoo.LanguageModel], ids: list[int]) -> None:
    """Compares the outputs of a backbone for one text with those of the language models."""
    outputs = model.backbone(x, torch.tensor([x.shape[1]])).sequence[0]
    for one in models:
        half = outputs[:, 4:] if one.codec.backward else outputs[:, :4]
        assert_close(half[:, : one.backbone.output_size], states(one, ids))


@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_each_direction_computes_what_its_language_model_computes(cell, words, reviews):
    options = {"cell": cell, "recurrent": {"projection_size": 4, "skip": "residual"} if "proj" in cell else {}}
    forward = language_model(words, **options)
    backward = language_model(words, backward=True, **{**options, "embedding_size": 5})
    for models in ([forward, backward], [backward, forward], [forward]):
        classifier = started(models, reviews.codec)
        word_ids = classifier.codec.indexer.ids(classifier.codec.preprocessor(TEXT))[0]
        x = classifier.embedding(word_ids[None], torch.zeros_like(word_ids[None]))
        assert x.shape[-1] == sum(model.embedding.embedding_dim for model in models)
        compare(classifier, x, models, word_ids.tolist())


@torch.no_grad()
def test_a_tagger_reads_characters_beside_what_the_language_models_read(words):
    models = [language_model(words), language_model(words, backward=True)]
    data = TaggingDataModule("sample-en", extends=words)
    tagger = started(models, data.codec, characters={"output_size": 6, "embedding_size": 2})
    assert tagger.codec.words[: len(words.vocabulary)] == words.vocabulary[:] and tagger.codec.lowercase
    inputs = data.encoded("train").batch([0]).inputs
    x = tagger.embedding(inputs.forms)[inputs.form_ids]
    ids = inputs.forms.word_ids[inputs.form_ids][0].tolist()
    assert max(ids) < len(words.vocabulary) and x.shape[2] == 12
    compare(tagger, x, models, ids)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("lowercase", [False, True])
def test_a_classifier_splits_texts_as_its_language_model_does(tokenizer, lowercase):
    codec = LanguageModelingDataModule(
        "sample-text-en", tokenizer=tokenizer, lowercase=lowercase, vocabulary_size=400
    ).codec
    data = ClassificationDataModule("sample-reviews-en", extends=codec)
    tokens = data.codec.preprocessor(TEXT)
    assert tokens == ["</s>", *codec.split(TEXT)]
    ids = data.codec.indexer.ids(tokens)[0].tolist()
    assert [i if i < len(codec.vocabulary) else 1 for i in ids] == [END_ID, *codec.ids(TEXT)[:-1]]
    # The codec of the classifier is extended as any other.
    again = ClassificationDataModule("sample-topics", extends=data.codec)
    assert again.codec.preprocessor(TEXT) == tokens


def test_what_is_taken_over_is_told_and_recorded(words, reviews, capsys):
    model = language_model(words)
    classifier = started([model], reviews.codec, dropout=0.25, bidirectional=True)
    told = capsys.readouterr().err.splitlines()
    new = len(reviews.codec.vocabulary) - len(words.vocabulary)
    assert told[0] == "LM gives the weights of embedding and backbone."
    assert told[1] == f"{new:,} of {len(reviews.codec.vocabulary):,} tokens are new."
    assert told[2].startswith("All 2 labels are new: ")
    assert told[3] == "New and untrained: backbone.layers.0.1, backbone.layers.1.1 and head."
    assert told[4] == "Left out of LM: output."
    assert classifier.hparams["dropout"] == 0.25 and classifier.hparams["hidden_size"] == 4
    assert classifier.origin["taken"] == ["embedding", "backbone"] and classifier.origin["left_out"] == ["output"]
    assert torch.equal(classifier.embedding.words.weight[: len(words.vocabulary)], model.embedding.weight)
    assert "embedding.words.weight" in classifier.untrained


def test_what_does_not_fit_is_refused(words, reviews, tmp_path):
    forward, backward = language_model(words), language_model(words, backward=True)
    tagging = TaggingDataModule("sample-en", extends=words).codec
    pieces = replace(words, tokenizer="words")
    other = replace(words, vocabulary=Vocabulary([*words.vocabulary, "zebras"]))
    for models, codec, arguments, message in [
        ([forward, forward], reviews.codec, {}, "a forward and a backward one"),
        ([forward, language_model(words, backward=True, hidden_size=5)], reviews.codec, {}, "of one size, got hidden"),
        ([forward, language_model(other, backward=True)], reviews.codec, {}, "the same tokens: vocabulary has"),
        ([backward], reviews.codec, {"bidirectional": False}, "use bidirectional=True"),
        ([forward], reviews.codec, {"num_layers": 1}, "expected the 2 layers of the language model, got 1"),
        ([forward], reviews.codec, {"hidden_size": 5}, r"weight_ih is of shape \(16, 3\), and .* \(20, 3\)"),
        ([forward], reviews.codec, {"cell": "gru"}, "LM cannot be taken over: its backbone.layers.0.0.weight_ih"),
        ([forward], tagging, {"embedding_size": 7}, "its embedding.words.weight is of shape"),
        ([forward], Seq2SeqDataModule("sample-phrases", tokenizer="words").codec, {}, "a model of the same task"),
    ]:  # fmt: skip
        with pytest.raises(ZooError, match=message):
            started(models, codec, **arguments)
    with pytest.raises(ZooError, match=r"\(tokenizer whitespace\), got one with the tokenizer words"):
        TaggingDataModule("sample-en", extends=pieces).codec  # noqa: B018
    with pytest.raises(ZooError, match="leave the stop words out"):
        ClassificationDataModule("sample-reviews-en", extends=words, stop_words="english").codec  # noqa: B018
    saved = [str(model.save_pretrained(tmp_path / str(model.codec.backward))) for model in (forward, backward)]
    assert zoo.from_pretrained(saved, codec=reviews.codec).hparams["bidirectional"]
    with pytest.raises(ZooError, match="expected either labels or a codec"):
        zoo.from_pretrained(saved)
    with pytest.raises(ZooError, match="expected one model, or two language models"):
        zoo.from_pretrained(["pos-en-ewt", saved[0]], labels=["a", "b"])
