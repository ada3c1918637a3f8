"""The classifier: padding, order and company change nothing; every parameter learns; every option acts."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

import zoo
from datamodules import ClassificationDataModule
from zoo import CELLS, TextClassifier
from zoo.batches.classification import ClassificationBatch, ClassificationInputs, Texts
from zoo.codecs import ClassificationCodec
from zoo.errors import ZooError
from zoo.masks import masked_softmax, max_over_time, mean_over_time, padding_mask
from zoo.metrics.classification import BINS
from zoo.models.options import OptimizerOptions, RegularizationOptions
from zoo.nn.losses import adversarial_perturbation
from zoo.nn.pooling import POOLINGS
from zoo.text import TOKENIZERS, SentencePieceModel, Vocabulary, split_words

TEXTS = ["I saw her duck .", "Go !", "", "a very , very nice place to be", "שלום 😀 中文", "Hm"]
LABELS = ["bad", "fine", "good"]
SMALL = dict(embedding_size=6, hidden_size=5)
FIELDS = {field.name for field in fields(ClassificationCodec)}
UNREGULARIZED = dict(dropout=0.0, regularization={})
VARIANTS = [
    *(dict(cell=cell) for cell in CELLS),
    dict(pooling="last", num_layers=2, cell="gru"),
    dict(pooling="last+mean+max+attention", bidirectional=False),
    dict(pooling="attention", multi_label=True),
    dict(pooling="last+mean+max+attention", empty="nothing"),
    dict(max_length=3, truncate="both", stop_words=["a", "very"], lowercase=False),
]


def classifier(**options) -> TextClassifier:
    """With fields of its codec among the options."""
    torch.manual_seed(0)
    vocabulary = Vocabulary.fit(token.lower() for text in TEXTS[:4] for token in split_words(text))
    changed = {name: options.pop(name) for name in FIELDS & options.keys()}
    codec = ClassificationCodec(**{"vocabulary": vocabulary, "labels": LABELS, **changed})
    return TextClassifier(codec, **{**SMALL, **options})


def tokens_of(model: TextClassifier) -> list[list[str]]:
    return [model.codec.preprocessor(text) for text in TEXTS]


def inputs_of(model: TextClassifier) -> ClassificationInputs:
    return Texts.of(tokens_of(model), model.codec.indexer).inputs(range(len(TEXTS)))


def batch_of(model: TextClassifier) -> ClassificationBatch:
    labels = [[LABELS[row % len(LABELS)]] for row in range(len(TEXTS))]
    return model.codec.dataset(tokens_of(model), labels).batch(range(len(TEXTS)))


def probabilities(results: list[dict]) -> torch.Tensor:
    return torch.tensor([list(result["probabilities"].values()) for result in results])


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@given(order=st.permutations(range(len(TEXTS))), budget=st.integers(1, 60))
@settings(max_examples=8)
def test_probabilities_are_independent_of_padding_order_and_batch_size(options, order, budget):
    model = classifier(**options)
    alone = torch.cat([probabilities(model.predict([text])) for text in TEXTS])
    together = model.predict([TEXTS[i] for i in order], max_tokens=budget)
    torch.testing.assert_close(probabilities(together), alone[list(order)], atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_ignores_values_at_padding(pooling):
    model = classifier(pooling=pooling).eval()
    inputs = inputs_of(model)
    garbage = inputs.word_ids.clone()
    for row, length in enumerate(inputs.lengths.tolist()):
        garbage[row, length:] = 3
    torch.testing.assert_close(model(inputs._replace(word_ids=garbage)), model(inputs), atol=1e-6, rtol=0)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 3))
def test_pooling_equals_a_loop_over_rows(lengths, more):
    x = torch.randn(len(lengths), max(lengths) + more, 3)
    n = torch.tensor(lengths)
    weights = masked_softmax(x[..., 0], padding_mask(n, x.shape[1]))
    for row, length in enumerate(lengths):
        real = x[row, :length]
        torch.testing.assert_close(mean_over_time(x, n)[row], real.mean(0))
        torch.testing.assert_close(max_over_time(x, n)[row], real.amax(0))
        torch.testing.assert_close(weights[row, :length], real[:, 0].softmax(0))
        assert not weights[row, length:].any()


def test_an_empty_row_is_pooled_to_zeros():
    x, n = torch.randn(2, 3, 4), torch.tensor([0, 2])
    for pooled in (mean_over_time(x, n), max_over_time(x, n), masked_softmax(x[..., 0], padding_mask(n, x.shape[1]))):
        assert not pooled[0].any() and pooled[1].any()


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_parameter_gets_a_gradient(options):
    model = classifier(**options)
    batch = batch_of(model)
    model.loss(model(batch.inputs), batch.gold).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "option",
    [
        dict(dropout=0.5),
        dict(regularization=dict(token_dropout=0.9)),
        dict(regularization=dict(label_smoothing=0.2)),
        dict(class_weights=[1.0, 2.0, 9.0]),
    ],
    ids=str,
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_every_regularizer_acts_in_training_only(option, multi_label):
    plain = classifier(multi_label=multi_label, **UNREGULARIZED)
    model = classifier(multi_label=multi_label, **{**UNREGULARIZED, **option})
    batch = batch_of(plain)

    def loss(m):
        return m.loss(m(batch.inputs), batch.gold)

    assert not torch.equal(loss(model.train()), loss(plain.train()))
    assert torch.equal(model.eval()(batch.inputs), plain.eval()(batch.inputs))


@pytest.mark.parametrize(
    "place", [lambda m: m.dropout, lambda m: m.head[0], lambda m: m.head[-2]], ids=["layers", "hidden layer", "scores"]
)
def test_dropout_acts_before_backbone_hidden_layer_and_scores(place):
    model = classifier(head_size=8, dropout=0.5).eval()
    inputs = inputs_of(model)
    assert torch.equal(model(inputs), model(inputs))
    # Only this dropout is in training mode.
    place(model).train()
    assert not torch.equal(model(inputs), model(inputs))


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_loss_of_half_precision_scores_is_computed_in_fp32(multi_label):
    model, scores = classifier(multi_label=multi_label), torch.randn(len(TEXTS), 3).bfloat16()
    gold = batch_of(model).gold
    loss, expected = (model.loss(s, gold) for s in (scores, scores.float()))
    assert loss.dtype == torch.float32 and torch.equal(loss, expected)


def test_class_weights_are_not_in_the_state_dict():
    model = classifier(class_weights=[1.0, 1.0, 2.0])
    assert model.hparams["class_weights"] == [1, 1, 2] and "class_weights" not in model.state_dict()


def test_a_class_weight_of_two_counts_a_text_twice():
    model, weighted = classifier(), classifier(class_weights=[1, 1, 2])
    scores, labels = torch.randn(3, 3), torch.tensor([0, 1, 2])
    twice = [0, 1, 2, 2]
    torch.testing.assert_close(weighted.loss(scores, labels), model.loss(scores[twice], labels[twice]))


def test_the_loss_of_several_labels_equals_its_formula():
    smoothing, weights = 0.2, torch.tensor([1.0, 2.0, 9.0])
    model = classifier(multi_label=True, regularization=dict(label_smoothing=smoothing), class_weights=weights.tolist())
    scores, labels = torch.randn(4, 3), torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    # Smoothing moves each gold value towards 1/2.
    has = (1 - smoothing) * labels + smoothing / 2
    expected = -(weights * has * scores.sigmoid().log() + (1 - has) * (-scores).sigmoid().log()).mean()
    torch.testing.assert_close(model.loss(scores, labels), expected)


def test_labels_are_those_of_the_highest_probabilities():
    for result in classifier().predict(TEXTS):
        assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert result["label"] == max(LABELS, key=result["probabilities"].get)
    model = classifier(multi_label=True)
    with torch.no_grad():
        model.head[-1].bias.copy_(torch.tensor([9.0, -9.0, 9.0]))
    assert {tuple(result["labels"]) for result in model.predict(TEXTS)} == {("bad", "good")}
    assert model.predict([]) == []


def test_a_probability_of_one_half_gives_a_label():
    model = classifier(multi_label=True)
    for parameter in model.head.parameters():
        torch.nn.init.zeros_(parameter)
    (result,) = model.predict(TEXTS[:1])
    assert set(result["probabilities"].values()) == {0.5} and result["labels"] == LABELS
    assert model.metrics["val"].decide(torch.full((1, 3), 0.5)).tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("positive, place", [(None, 1), ("ham", 0), ("spam", 1)])
def test_the_positive_label_is_the_second_of_two_by_default(positive, place):
    model = classifier(labels=["ham", "spam"], positive=positive)
    assert [metrics.positive for metrics in model.metrics.values()] == [place, place]


def test_checkpoints_are_chosen_by_macro_f1():
    assert classifier().monitor == "val/macro_f1"


def test_a_temperature_changes_probabilities_but_no_label():
    model = classifier()
    before = model.predict(TEXTS)
    model.temperature.fill_(3.0)
    after = model.predict(TEXTS)
    assert [r["label"] for r in before] == [r["label"] for r in after]
    expected = (probabilities(before).log() / 3).softmax(-1)
    torch.testing.assert_close(probabilities(after), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_reloaded_equals_saved(tmp_path, options):
    model = classifier(**options)
    model.temperature.fill_(1.5)
    again = zoo.from_pretrained(model.save_pretrained(tmp_path / "m"))
    assert again.hparams == model.hparams
    assert again.predict(TEXTS) == model.predict(TEXTS)


def test_a_weight_too_large_for_fp16_is_not_stored_as_infinite(tmp_path):
    model = classifier()
    model.head[-1].bias.data[0] = 1e5
    with pytest.raises(ZooError, match="exceeds 65504"):
        model.save_pretrained(tmp_path / "m", dtype="float16")
    assert not (tmp_path / "m").exists() and model.save_pretrained(tmp_path / "m").is_dir()


def test_the_sentencepiece_model_is_saved_with_the_model(tmp_path):
    texts = [f"the cat number {i} sat on a mat with {i % 7} dogs" for i in range(100)]
    pieces = SentencePieceModel.fit(texts, 60, lowercase=True)
    vocabulary = Vocabulary.fit(piece for text in texts for piece in pieces(text))
    model = classifier(vocabulary=vocabulary, tokenizer="sentencepiece", sentencepiece_model=pieces.serialized)
    folder = model.save_pretrained(tmp_path / "m")
    # Half of a surrogate pair is no character that sentencepiece can read.
    assert model.predict(["the cat \ud83d"])
    files = ["README.md", "card.json", "codec.json", "config.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert zoo.from_pretrained(folder).predict(texts[:3]) == model.predict(texts[:3])
    assert pieces("THE CAT") == pieces("the cat")


@given(st.text())
def test_the_words_of_a_text_contain_all_but_its_white_space(text):
    assert "".join(split_words(text)) == "".join(text.split())


def test_words_of_many_scripts_are_split():
    assert split_words("I don't; 中文ok हिन्दी שלום 😀") == [
        "I", "don't", ";", "中", "文", "ok", "हिन्दी", "שלום", "😀",
    ]  # fmt: skip


@pytest.mark.parametrize("truncate, kept", [("head", "abcd"), ("tail", "wxyz"), ("both", "abyz"), ("both", "abcyz")])
def test_long_texts_are_truncated(truncate, kept):
    read = classifier(tokenizer="characters", max_length=len(kept), truncate=truncate).codec.preprocessor
    assert "".join(read("abcdefghijklmnopqrstuvwxyz")) == kept
    assert read("abcd") == list("abcd")


def test_a_text_of_a_hundred_thousand_words_is_classified():
    model = classifier()
    (result,) = model.predict(["word " * 100_000])
    assert result == model.predict(["word " * 400])[0]


def test_jieba_is_optional(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jieba", None)
    with pytest.raises(ZooError, match=r"pip install lstm-zoo\[jieba\]"):
        TOKENIZERS["jieba"]("我来到北京清华大学")
    monkeypatch.undo()
    pytest.importorskip("jieba")
    assert TOKENIZERS["jieba"]("我来到北京 清华大学") == ["我", "来到", "北京", "清华大学"]


def adversarial_loss(size: float, more_padding: int = 0) -> torch.Tensor:
    model = classifier(dropout=0.0, regularization=RegularizationOptions(adversarial=size)).train()
    batch = batch_of(model)
    padded = batch.inputs._replace(word_ids=F.pad(batch.inputs.word_ids, (0, more_padding)))
    loss = model.training_step(batch._replace(inputs=padded), 0)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    return loss.detach()


def test_the_adversarial_perturbation_increases_the_loss_and_leaves_padding_alone():
    losses = [adversarial_loss(size) for size in (0.0, 0.05, 0.2)]
    assert losses[0] < losses[1] < losses[2]
    torch.testing.assert_close(adversarial_loss(0.2, more_padding=7), losses[2])


def test_clean_and_adversarial_losses_have_equal_weights():
    model = classifier(**UNREGULARIZED)
    batch = batch_of(model)
    x = model.embedding(batch.inputs.word_ids, batch.inputs.vector_ids)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return model.loss(model.score(model.pool(x, batch.inputs.lengths).vectors), batch.gold)

    expected = (loss(x) + loss(x + adversarial_perturbation(loss(x), x, 0.2, per_row=True))) / 2
    torch.testing.assert_close(adversarial_loss(0.2), expected.detach())


def test_token_dropout_leaves_padding_alone():
    embedding = classifier(regularization=dict(token_dropout=0.9)).train().embedding
    padding = torch.zeros(50, dtype=torch.long)
    assert embedding(padding, padding).eq(0).all()


def test_imported_vectors_are_used_kept_and_frozen():
    words = ["<pad>", "<unk>", "saw", "Hm"]
    model = classifier(vector_words=words, vector_size=3).eval()
    before = model(inputs_of(model))
    model.import_vectors(torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 1.0]]))
    assert not torch.equal(model(inputs_of(model)), before)
    assert not model.embedding.vectors.weight.requires_grad
    with pytest.raises(ZooError, match="no imported vectors: make it with vector_words"):
        classifier().import_vectors(torch.zeros(2, 3))
    assert classifier(vector_words=words, vector_size=3, tune_vectors=True).embedding.vectors.weight.requires_grad


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(cell="ltsm"), f"known are {', '.join(sorted(CELLS))}"),
        (dict(pooling="mean+maximum"), "did you mean 'max'"),
        (dict(tokenizer="word"), "sentencepiece, treebank, whitespace, words"),
        (dict(tokenizer="sentencepiece"), r"SentencePieceModel.fit"),
        (dict(truncate="end"), "both, head, tail"),
        (dict(max_length=1), "max_length=1"),
        (dict(labels=["a"]), "at least two labels"),
        (dict(labels=["a", "b"], positive="c"), "known are a, b"),
        (dict(positive="bad"), "there are not two labels to choose from"),
        (dict(class_weights=[1.0]), r"above 0 for each of 3 labels, got \[1.0\]"),
        (dict(head_size=-1), "head_size of at least 0"),
        (dict(regularization=dict(adversarial=-1.0)), "adversarial, a size, of at least 0"),
        (dict(regularization=dict(token_drop=0.1)), "did you mean 'token_dropout'"),
        (dict(optimizer=dict(learning_rate=0.0)), "learning_rate above 0"),
        (dict(vocabulary=["the", "<unk>"]), "a vocabulary must begin with <pad>, <unk>, got the, <unk>"),
        (dict(class_weights=[1.0, 0.0, 1.0]), "weight above 0"),
        (dict(class_weights=["a", "b", "c"]), "weight above 0"),
        (dict(vector_words=["a", "b"], vector_size=2), "vector_words must begin with <pad>, <unk>, got a, b"),
        (dict(vector_words=["<pad>", "<unk>", "a"], vector_size=0), "at least 1 feature, got vector_size=0"),
        (dict(class_weights=[1.0, math.nan, 1.0]), "weight above 0"),
        (dict(class_weights=[1.0, math.inf, 1.0]), "weight above 0"),
        (dict(tokenizer="sentencepiece", sentencepiece_model=["x"], stop_words=["the"]), "stop words belong to words"),
        (dict(tokenizer="sentencepiece", vector_words=["the"]), "imported vectors belong to words"),
        (dict(regularization=dict(label_smoothing=3)), "expected a label_smoothing probability in .*, got 3"),
        (dict(regularization=dict(token_dropout=2)), "expected a token_dropout probability in .*, got 2"),
        (dict(embedding_size=0), "at least 1 feature, got 0"),
        (dict(dropout=1.5), "dropout"),
    ],
    ids=str,
)
def test_errors_for_invalid_options_name_valid_ones(options, message):
    with pytest.raises(ZooError, match=message):
        classifier(**options)


def test_learns_the_sample_in_a_bare_trainer():
    pl.seed_everything(0)
    data = ClassificationDataModule("sample-spam", min_count=1)
    fast = OptimizerOptions(learning_rate=1e-2)
    model = TextClassifier(data.codec, embedding_size=32, hidden_size=32, optimizer=fast)
    trainer = pl.Trainer(
        max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=5.0,
    )  # fmt: skip
    trainer.fit(model, data)
    assert model.temperature != 1
    scores = trainer.test(model, data, verbose=False)[0]
    assert scores["test/accuracy"] > 0.8
    found = model.predict([text.text for text in data.texts("test")])
    gold = [text.labels[0] for text in data.texts("test")]
    right = sum(a["label"] == b for a, b in zip(found, gold, strict=True)) / len(gold)
    assert right == pytest.approx(scores["test/accuracy"], abs=1e-6)


def test_scored_probabilities_equal_those_of_predict():
    data = ClassificationDataModule("sample-spam", min_count=1)
    torch.manual_seed(0)
    model = TextClassifier(data.codec, **SMALL)
    # This is far from 1, and from the temperature that would be fitted on the scored texts.
    model.temperature.fill_(0.05)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    for run, stage, split in ((trainer.validate, "val", "dev"), (trainer.test, "test", "test")):
        found = run(model, data, verbose=False)[0]
        # The temperature is fitted in training only.
        assert model.temperature == torch.tensor(0.05)
        chances = probabilities(model.predict([text.text for text in data.texts(split)]))
        gold = data.codec.gold([text.labels for text in data.texts(split)])
        expected = multiclass_calibration_error(chances, gold, len(data.codec.labels), n_bins=BINS)
        assert found[f"{stage}/ece"] == pytest.approx(float(expected), abs=1e-5)


def test_learns_several_labels_per_text(tmp_path):
    pl.seed_everything(0)
    rows = ["text\tlabel"] + [f"{a} {b}\t{'|'.join(sorted({a, b}))}" for a in "xyz" for b in "xyz"] + ["nothing\t"]
    path = tmp_path / "train.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    data = ClassificationDataModule(
        train=str(path), dev=str(path), test=str(path), multi_label=True, min_count=1, max_tokens=10
    )
    model = TextClassifier(data.codec, **SMALL, **UNREGULARIZED, optimizer=OptimizerOptions(learning_rate=3e-2))
    trainer = pl.Trainer(
        max_epochs=30, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, data)
    assert trainer.test(model, data, verbose=False)[0]["test/micro_f1"] > 0.9
    assert model.predict(["z x", "nothing"])[0]["labels"] == ["x", "z"]
