"""A tagger reads the states of language models at each token, and has these models in its own weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.testing import assert_close

import zoo
from datamodules import LanguageModelingDataModule, TaggingDataModule
from datamodules.errors import DataError
from zoo.batches.tagging import Sentences
from zoo.errors import ZooError
from zoo.models import context_states
from zoo.models.context_states import states_of

SENTENCES = [
    ["Dogs", "bark"],
    ["She", "sings", ",", "and", "the", "drivers", "don't", "."],
    ["naïve"],
    ["a", "\u200b", "b"],
]
TOKENIZERS = ("whitespace", "words", "characters", "bytes", "sentencepiece")
QUIET = dict(
    accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    num_sanity_val_steps=0, max_epochs=2, limit_train_batches=3,
)  # fmt: skip


def language_models(tokenizer: str = "whitespace") -> list[zoo.LanguageModel]:
    codec = LanguageModelingDataModule("sample-text-en", tokenizer=tokenizer, vocabulary_size=400).codec
    models = []
    for backward, hidden_size in ((False, 5), (True, 3)):
        model = zoo.LanguageModel(
            replace(codec, backward=backward), hidden_size=hidden_size, num_layers=2, embedding_size=4
        )
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        models.append(model.eval())
    return models


def tagger_of(models, codec, **options) -> zoo.SequenceTagger:
    torch.manual_seed(0)
    sizes = {"hidden_size": 4, "embedding_size": 4, "characters": {"output_size": 4, "embedding_size": 2}}
    return zoo.SequenceTagger(codec, context=models, **sizes, **options).eval()


@pytest.fixture(scope="module")
def models():
    return language_models()


@pytest.fixture(scope="module")
def data(models):
    return TaggingDataModule("sample-en", context=[model.codec for model in models])


@pytest.fixture(scope="module")
def tagger(models, data):
    return tagger_of(models, data.codec)


@torch.no_grad()
def state_after(model: zoo.LanguageModel, tokens: list[str], place: int) -> torch.Tensor:
    """The state after a token, when the whole text up to it is read by itself."""
    codec = model.codec
    text = " ".join(tokens[place:] if codec.backward else tokens[: place + 1])
    ids = [2, *codec.ids(text)[:-1]]
    return model.backbone(model.embedding(torch.tensor([ids])), torch.tensor([len(ids)])).sequence[0, -1]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_token_has_the_states_in_which_the_language_models_have_read_it(tokenizer):
    models = language_models(tokenizer)
    tagger = tagger_of(models, TaggingDataModule("sample-en", context=[model.codec for model in models]).codec)
    sentences = [sentence for sentence in SENTENCES if "\u200b" not in sentence]
    context = Sentences.of(sentences, tagger.codec.indexer).inputs(range(len(sentences))).context
    features = tagger.context(context).float()
    for row, tokens in enumerate(sentences):
        for place in range(len(tokens)):
            expected = torch.cat([state_after(model, tokens, place) for model in models])
            assert_close(features[row, place], expected, atol=1e-3, rtol=0)


def test_single_characters_are_read_without_spaces_between_them(tmp_path):
    models = language_models("characters")
    file = tmp_path / "characters.txt"
    file.write_text("s A\ni B\nn A\n\ng B\n\ne A\nr B\n")
    codec = TaggingDataModule(train=str(file), context=[model.codec for model in models]).codec
    tagger = tagger_of(models, codec)
    features = tagger.context(Sentences.of([list("singer")], codec.indexer).inputs([0]).context).float()
    for place in range(6):
        text = ["singer"[place:]] if place else ["singer"]
        assert_close(features[0, place, 5:], state_after(models[1], text, 0), atol=1e-3, rtol=0)
        assert_close(features[0, place, :5], state_after(models[0], ["singer"[: place + 1]], 0), atol=1e-3, rtol=0)
    with pytest.raises(ZooError, match="expected language models of characters or bytes"):
        replace(codec, context=[language_models()[0].codec])


def test_a_tag_does_not_depend_on_other_sentences_of_a_batch(tagger):
    together = tagger.predict(SENTENCES)
    assert together == [tagger.predict([tokens])[0] for tokens in SENTENCES]
    assert together == tagger.predict(SENTENCES, max_tokens=4)


def test_language_models_are_read_once_for_a_training_and_not_trained(models):
    data = TaggingDataModule("sample-en", context=[model.codec for model in models])
    ours = tagger_of(models, data.codec)
    before = {name: weight.clone() for name, weight in ours.state_dict().items()}
    reads = []
    backbone = ours.context.readers[0].backbone
    backbone.register_forward_hook(lambda *_: reads.append(1))
    first = []
    start = pl.callbacks.LambdaCallback(on_train_start=lambda *_: first.append(len(reads)))
    trainer = pl.Trainer(callbacks=[start], **QUIET)
    trainer.fit(ours, data)
    assert first == [len(reads)] and not any(reader.training for reader in ours.context.readers)
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, before[name]) == name.startswith("context."), name
    stored = data.encoded("dev").sentences
    rows = range(7)
    kept = stored.inputs(rows).context
    assert_close(kept, ours.eval().context(stored.context(rows)) * (kept != 0), atol=2e-3, rtol=0)
    optimized = sum(len(group["params"]) for group in trainer.optimizers[0].param_groups)
    assert optimized == sum(parameter.requires_grad for parameter in ours.parameters())


def test_a_saved_tagger_has_its_language_models(tagger, tmp_path):
    texts = ["Dogs bark. She sings, and the drivers don't.", *SENTENCES]
    again = zoo.from_pretrained(tagger.save_pretrained(tmp_path))
    assert again.predict(texts) == tagger.predict(texts) and again.codec == tagger.codec
    assert zoo.card(tmp_path)["parameters"] == sum(parameter.numel() for parameter in tagger.parameters())
    other = zoo.from_pretrained(tmp_path, labels=["NOUN", "VERB"])
    assert torch.equal(other.context.readers[1].embedding.weight, tagger.context.readers[1].embedding.weight)
    assert "context" in other.origin["taken"] and not other.context.readers[0].embedding.weight.requires_grad


def test_states_of_a_large_split_are_kept_in_a_file(models, data, tagger, tmp_path, monkeypatch):
    sentences = data.encoded("dev").sentences
    device = torch.device("cpu")
    expected = states_of(tagger.context, sentences, device).padded(range(9))
    monkeypatch.setattr(context_states, "LARGE", 0)
    monkeypatch.setattr(context_states, "user_cache", lambda: tmp_path)
    found = states_of(tagger.context, sentences, device)
    (file,) = (tmp_path / "states").iterdir()
    assert isinstance(found.values, np.memmap) and torch.equal(found.padded(range(9)), expected)
    with monkeypatch.context() as patch:
        patch.setattr(context_states, "_fill", None)
        assert torch.equal(states_of(tagger.context, sentences, device).padded([3, 1]), found.padded([3, 1]))
    states_of(tagger.context, data.encoded("train").sentences, device)
    other = tagger_of([models[0], language_models()[1]], data.codec)
    states_of(other.context, sentences, device)
    assert len(list((tmp_path / "states").iterdir())) == 3 and file.exists()


def test_a_store_has_what_the_language_models_read(data, models, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stored = TaggingDataModule("sample-en", context=[model.codec for model in models], store=True)
    assert stored.codec == data.codec
    ours, theirs = (each.encoded("train").sentences.context([4, 0]) for each in (stored, data))
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_a_batch_is_divided_with_its_context(data):
    inputs = data.encoded("test").batch([0, 1, 2, 3]).inputs
    tagger = tagger_of(language_models(), data.codec)
    with torch.no_grad():
        whole = tagger(inputs)
        part = tagger(inputs.part(slice(1, 3)))
        steps = int(inputs.lengths[1:3].min())
        assert_close(part[:, :steps], whole[1:3, :steps], atol=1e-3, rtol=0)


def test_a_tagger_with_language_models_is_explained_like_any_other(tagger, data):
    (explanation,) = zoo.explain(tagger, ["She sings ."], position=1)
    total = explanation.score - explanation.baseline_score
    assert sum(explanation.attributions) == pytest.approx(total, rel=0.05, abs=5e-3)
    sentences = [list(sentence.tokens) for sentence in data.sentences("dev")]
    ((nearest, *_),) = zoo.nearest_examples(tagger, [sentences[2]], sentences)
    assert nearest.row == 2


def test_what_does_not_belong_together_is_refused(models, data, tagger):
    plain = TaggingDataModule("sample-en").codec
    for context, codec in ((models, plain), ((), data.codec), (models[:1], data.codec)):
        with pytest.raises(ZooError, match="expected as many language models as the codec has in context"):
            tagger_of(context, codec)
    with pytest.raises(ZooError, match="in its order: backward is False in the codec and True in the language model"):
        tagger_of(models[::-1], data.codec)
    with pytest.raises(DataError, match="or none: leave --model.language_models out"):
        TaggingDataModule("sample-en", context=[models[0].codec], extends=tagger.codec)
