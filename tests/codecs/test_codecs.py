"""One codec for data and model: it is stored whole, and a training or evaluation with another one is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import pytest
import pytorch_lightning as pl
import torch

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.base import CorpusDataModule
from datamodules.errors import DataError
from zoo.codecs import Codec, LanguageModelingCodec
from zoo.errors import ZooError
from zoo.models.options import CharacterOptions
from zoo.text import SentencePieceModel

QUIET = dict(
    accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, num_sanity_val_steps=0,
    enable_model_summary=False, max_epochs=1, limit_train_batches=1, limit_val_batches=1, limit_test_batches=1,
)  # fmt: skip
TEXTS = ["The cat sat on a mat", "a dog ran away", "an odd one out"]
PIECES = [SentencePieceModel.fit(TEXTS * n, size).serialized for n, size in ((1, 30), (2, 26))]
CONTEXT = LanguageModelingCodec(["<pad>", "<unk>", "</s>", "a"], backward=True)
VECTORS = dict(vector_words=["<pad>", "<unk>", "free"], vector_size=2)


def swapped(entries) -> list[str]:
    """The same entries, the last two of them in each other's place."""
    return [*entries[:-2], entries[-1], entries[-2]]


@dataclass(frozen=True)
class Task:
    """A task's data, a small model for a codec, and for each field of the codec another value."""

    data: Callable[..., CorpusDataModule]
    model: Callable[[Codec], pl.LightningModule]
    changes: Callable[[Codec], dict[str, dict[str, object]]]


def classification_changes(codec: Codec) -> dict[str, dict[str, object]]:
    return {
        "vocabulary": dict(vocabulary=swapped(codec.vocabulary)),
        "labels": dict(labels=swapped(codec.labels)),
        "multi_label": dict(multi_label=True, positive=None),
        "positive": dict(positive=codec.labels[0]),
        "tokenizer": dict(tokenizer="characters"),
        "sentencepiece_model": dict(tokenizer="sentencepiece", sentencepiece_model=PIECES[0]),
        "stop_words": dict(stop_words=["the"]),
        "lowercase": dict(lowercase=False),
        "skip_unknown": dict(skip_unknown=True),
        "max_length": dict(max_length=30),
        "truncate": dict(truncate="tail"),
        "start": dict(start=True),
        "fill": dict(fill="before"),
        "empty": dict(empty="nothing"),
        "as_language_model": dict(as_language_model=True),
        "vector_words": VECTORS,
        "vector_size": VECTORS,
        "normalization": dict(normalization=["nfc", "quotes"]),
    }


def tagging_changes(codec: Codec) -> dict[str, dict[str, object]]:
    return {
        "words": dict(words=swapped(codec.words)),
        "characters": dict(characters=swapped(codec.characters)),
        "tags": dict(tags=swapped(codec.tags)),
        "scheme": dict(scheme=None),
        "tokenizer": dict(tokenizer="characters"),
        "lowercase": dict(lowercase=False),
        "max_characters": dict(max_characters=8),
        "context": dict(context=[CONTEXT]),
        "vector_words": VECTORS,
        "vector_size": VECTORS,
        "normalization": dict(normalization=["nfc", "quotes"]),
    }


def seq2seq_changes(codec: Codec) -> dict[str, dict[str, object]]:
    return {
        "source_words": dict(source_words=swapped(codec.source_words), target_words=codec.source_words),
        "target_words": dict(target_words=swapped(codec.source_words)),
        "tokenizer": dict(tokenizer="characters"),
        "source_sentencepiece_model": dict(tokenizer="sentencepiece", source_sentencepiece_model=PIECES[0]),
        "target_sentencepiece_model": dict(
            tokenizer="sentencepiece", source_sentencepiece_model=PIECES[0], target_sentencepiece_model=PIECES[1]
        ),
        "stop_words": dict(stop_words=["the"]),
        "lowercase": dict(lowercase=True),
        "language": dict(language="ja"),
        "unit": dict(unit="text"),
        "max_source": dict(max_source=7),
        "max_target": dict(max_target=8),
        "vector_words": VECTORS,
        "vector_size": VECTORS,
        "normalization": dict(normalization=["nfc", "quotes"]),
    }


NO_CHARACTERS = CharacterOptions(output_size=0)
TASKS = {
    "classification": Task(
        lambda **options: ClassificationDataModule("sample-spam", **options),
        lambda codec: zoo.TextClassifier(codec, embedding_size=4, hidden_size=4),
        classification_changes,
    ),
    "tagging": Task(
        lambda **options: TaggingDataModule("sample-en-ner", **options),
        lambda codec: zoo.SequenceTagger(
            codec,
            embedding_size=4,
            characters=NO_CHARACTERS,
            hidden_size=4,
            num_layers=1,
            context=[zoo.LanguageModel(of_model, hidden_size=4, embedding_size=4) for of_model in codec.context],
        ),
        tagging_changes,
    ),
    "seq2seq": Task(
        lambda **options: Seq2SeqDataModule("sample-phrases", **{"tokenizer": "words", **options}),
        lambda codec: zoo.Seq2Seq(codec, embedding_size=4, encoder_size=4, decoder_size=4),
        seq2seq_changes,
    ),
}
CODECS = {name: task.data().codec for name, task in TASKS.items()}
CHANGES = [(name, field) for name, task in TASKS.items() for field in task.changes(CODECS[name])]


def changed(name: str, field: str) -> Codec:
    return replace(CODECS[name], **TASKS[name].changes(CODECS[name])[field])


@pytest.mark.parametrize("name", TASKS)
def test_the_cases_of_this_file_cover_every_field_of_a_codec(name):
    assert set(TASKS[name].changes(CODECS[name])) == {field.name for field in fields(CODECS[name])}


@pytest.mark.parametrize("name, field", CHANGES)
def test_a_codec_is_restored_from_its_state(name, field):
    codec = changed(name, field)
    assert codec != CODECS[name]
    again = type(codec).of(json.loads(json.dumps(codec.state)))
    assert again == codec and hash(again.state[field].__class__)
    assert again.differences(codec, ours="one", theirs="another") == ""


@pytest.mark.parametrize("name", TASKS)
def test_an_unknown_field_is_refused(name):
    state = {**CODECS[name].state, "lowercaes": True}
    with pytest.raises(ZooError, match="did you mean 'lowercase'"):
        type(CODECS[name]).of(state)


@pytest.mark.parametrize("name, field", CHANGES)
def test_the_codec_is_saved_with_the_model(name, field, tmp_path):
    model = TASKS[name].model(changed(name, field))
    assert model.codec == changed(name, field)
    assert zoo.from_pretrained(model.save_pretrained(tmp_path)).codec == model.codec


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
@pytest.mark.parametrize("name, field", CHANGES)
def test_a_model_with_another_codec_is_refused_with_the_difference(name, field, stage):
    model, data = TASKS[name].model(changed(name, field)), TASKS[name].data(codec=CODECS[name])
    expected = rf"\b{field} .* in the data and .* in the model.*data.codec.*codec=model.codec"
    with pytest.raises(DataError, match=expected) as told:
        getattr(pl.Trainer(**QUIET), stage)(model, data)
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize("name, field", CHANGES)
def test_a_datamodule_encodes_its_corpus_with_a_given_codec(name, field):
    if field == "multi_label":
        pytest.skip("texts with one label each are no data for a model of several")
    model = TASKS[name].model(changed(name, field))
    if "vector" in field:
        model.import_vectors(torch.ones(1, 2))
    pl.Trainer(**QUIET).fit(model, TASKS[name].data(codec=model.codec))


def test_training_without_the_imported_vectors_of_the_codec_is_refused():
    model = TASKS["tagging"].model(changed("tagging", "vector_words"))
    with pytest.raises(ZooError, match="model.import_vectors"):
        pl.Trainer(**QUIET).fit(model, TASKS["tagging"].data(codec=model.codec))


def test_the_accuracy_of_a_test_equals_that_of_predict():
    """A pretrained tagger on another corpus: `Trainer.test` and `predict` count the same."""
    tagger = zoo.from_pretrained("pos-en-ewt")
    with pytest.raises(DataError, match="words has .* entries in the data and .* in the model"):
        pl.Trainer(**QUIET).test(tagger, TaggingDataModule("sample-en"))
    data = TaggingDataModule("sample-en", codec=tagger.codec)
    trainer = pl.Trainer(**{**QUIET, "limit_test_batches": 1.0})
    (scores,) = trainer.test(tagger, data, verbose=False)
    sentences = data.sentences("test")
    found = tagger.predict([sentence.tokens for sentence in sentences])
    right = [a == b for s, tags in zip(sentences, found, strict=True) for a, b in zip(s.tags, tags, strict=True)]
    assert scores["test/accuracy"] == pytest.approx(sum(right) / len(right))
    assert scores["test/accuracy"] > 0.95


def test_tags_are_converted_to_the_scheme_of_the_codec():
    bio, bioes = TaggingDataModule("sample-en-ner"), TaggingDataModule("sample-en-ner", convert_to="BIOES")
    plain = replace(bio.codec, scheme=None)
    for codec, expected in ((bioes.codec, bioes), (plain, bio), (bio.codec, bio)):
        assert TaggingDataModule("sample-en-ner", codec=codec).sentences("dev") == expected.sentences("dev")


def test_a_model_for_another_task_is_refused():
    with pytest.raises(DataError, match="ClassificationDataModule .* SequenceTagger is a model for another task"):
        pl.Trainer(**QUIET).fit(TASKS["tagging"].model(CODECS["tagging"]), TASKS["classification"].data())


def test_a_model_without_a_codec_is_accepted():
    class Own(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def training_step(self, batch, _):
            return self.weight * batch.inputs.word_ids.sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    pl.Trainer(**{**QUIET, "limit_val_batches": 0}).fit(Own(), ClassificationDataModule("sample-spam"))
