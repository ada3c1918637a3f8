"""The tagger: scores are independent of the batch, every parameter gets a gradient, every option has an effect."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import TaggingDataModule
from zoo import CELLS, SequenceTagger
from zoo.batches.tagging import Sentences, TaggingBatch, TaggingInputs
from zoo.codecs import TaggingCodec
from zoo.errors import ZooError
from zoo.models.options import CharacterOptions, OptimizerOptions, RegularizationOptions
from zoo.models.outcomes import Outcomes
from zoo.text import Vocabulary
from zoo.text.tag_schemes import transitions

SENTENCES = [["I", "saw", "her", "duck"], ["Go", "!"], ["Zürich", "is", "a", "very", "nice", "place"], ["Hm"]]
TAGS = ["O", "B-X", "I-X"]
GOLD = [["O", "B-X", "I-X", "O"], ["O", "O"], ["B-X", "I-X", "I-X", "O", "O", "B-X"], ["O"]]
COMPOSED = CharacterOptions(embedding_size=4, output_size=8)
SMALL = dict(embedding_size=6, characters=COMPOSED, hidden_size=5, num_layers=2)
FIELDS = {"scheme", "tokenizer", "lowercase", "vector_words", "vector_size"}
VARIANTS = [
    *(dict(cell=cell, characters=replace(COMPOSED, encoder=cell)) for cell in CELLS),
    dict(characters=replace(COMPOSED, encoder="cnn"), lowercase=False),
    dict(characters=replace(COMPOSED, output_size=0)),
    dict(head="crf", scheme="BIO"),
]


def tagger(**options) -> SequenceTagger:
    torch.manual_seed(0)
    words = Vocabulary.fit(t.lower() for s in SENTENCES[:3] for t in s)
    characters = Vocabulary.fit(c for s in SENTENCES[:3] for t in s for c in t)
    fields = {name: options.pop(name) for name in FIELDS & options.keys()}
    return SequenceTagger(TaggingCodec(words, characters, TAGS, **fields), **{**SMALL, **options})


def inputs_of(model: SequenceTagger, sentences) -> TaggingInputs:
    return Sentences.of(sentences, model.codec.indexer).inputs(range(len(sentences)))


def batch_of(model: SequenceTagger, sentences, tags) -> TaggingBatch:
    return model.codec.dataset(sentences, tags).batch(range(len(sentences)))


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@given(order=st.permutations(range(len(SENTENCES))))
@settings(max_examples=8)
def test_scores_are_independent_of_padding_order_and_batch(options, order):
    model = tagger(**options).eval()
    together = model(inputs_of(model, SENTENCES))
    shuffled = model(inputs_of(model, [SENTENCES[i] for i in order]))
    for place, i in enumerate(order):
        alone = model(inputs_of(model, [SENTENCES[i]]))[0]
        n = len(SENTENCES[i])
        torch.testing.assert_close(together[i, :n], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(shuffled[place, :n], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_parameter_gets_a_gradient(options):
    model = tagger(**options)
    batch = batch_of(model, SENTENCES, GOLD)
    model.loss(model(batch.inputs), batch.tag_ids, batch.inputs.lengths).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("head", ["softmax", "crf"])
def test_predictions_are_independent_of_budget_order_and_cache(head):
    model = tagger(head=head)
    expected = [model.predict([sentence])[0] for sentence in SENTENCES]
    assert [len(tags) for tags in expected] == [4, 2, 6, 1]
    fresh = tagger(head=head)
    assert fresh.predict(SENTENCES) == expected
    assert fresh.predict(SENTENCES, max_tokens=1) == expected
    assert fresh.predict(SENTENCES[::-1]) == expected[::-1]
    assert fresh.predict([" ".join(s) for s in SENTENCES]) == expected
    assert fresh.predict([[], "  ", SENTENCES[0]]) == [[], [], expected[0]]
    assert fresh.predict([]) == []


def test_predict_is_deterministic_and_does_not_change_the_mode():
    model = tagger(dropout=0.5, regularization=RegularizationOptions(token_dropout=0.5)).train()
    assert model.predict(SENTENCES) == model.predict(SENTENCES)
    assert model.training


def test_the_crf_predicts_legal_sequences_only():
    model = tagger(head="crf", scheme="BIO")
    with torch.no_grad():
        # The scores prefer I-X, with which no legal sequence begins.
        model.head.bias.copy_(torch.tensor([0.0, -50.0, 50.0]))
    allowed = transitions(TAGS, "BIO")
    for tags in model.predict(SENTENCES):
        ids = [TAGS.index(tag) for tag in tags]
        assert allowed.start[ids[0]]
        assert all(allowed.pairs[a][b] for a, b in itertools.pairwise(ids))


def test_a_gold_tag_outside_the_training_data_is_left_out_of_the_loss():
    model = tagger().eval()
    known = batch_of(model, SENTENCES[:2], GOLD[:2])
    unseen = batch_of(model, SENTENCES[:2], [GOLD[0], ["O", "B-Y"]])
    scores = model(known.inputs)
    two = model.loss(scores, known.tag_ids, known.inputs.lengths)
    one = model.loss(scores, unseen.tag_ids, unseen.inputs.lengths)
    assert one.isfinite() and not torch.equal(one, two)


@pytest.mark.parametrize(
    "dropout, regularization", [(0.5, {}), (0.0, dict(token_dropout=0.9)), (0.0, dict(label_smoothing=0.2))], ids=str
)
def test_every_regularizer_acts_in_training_only(dropout, regularization):
    plain = tagger(dropout=0.0, regularization=RegularizationOptions())
    model = tagger(dropout=dropout, regularization=RegularizationOptions(**regularization))
    batch = batch_of(plain, SENTENCES, GOLD)

    def loss(m):
        return m.loss(m(batch.inputs), batch.tag_ids, batch.inputs.lengths)

    assert not torch.equal(loss(model.train()), loss(plain.train()))
    assert torch.equal(model.eval()(batch.inputs), plain.eval()(batch.inputs))


@pytest.mark.parametrize("head", ["softmax", "crf"])
def test_the_adversarial_perturbation_increases_the_loss(head, monkeypatch):
    losses = []
    for size in (0.0, 0.05, 0.2):
        model = tagger(dropout=0.0, head=head, regularization=RegularizationOptions(adversarial=size)).train()
        # There is no trainer to log to.
        monkeypatch.setattr(model, "log", lambda *_, **__: None)
        batch = batch_of(model, SENTENCES, GOLD)
        losses.append(model.training_step(batch, 0))
        losses[-1].backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_language_model_predicts_words_before_they_are_read(bidirectional):
    """The loss is the mean over the next word of each direction, without padding."""
    model = tagger(num_layers=1, language_model_weight=0.1, bidirectional=bidirectional).eval()
    batch = inputs_of(model, SENTENCES)
    words = batch.forms.word_ids[batch.form_ids]
    embedding = model.embedding.words.weight

    def loss(read, predicted):
        sequence = model.encode(model.embedding(batch.forms), read, batch.lengths)
        return model.neighbours(sequence, predicted, batch.lengths, embedding)

    sequence = model.encode(model.embedding(batch.forms), batch.form_ids, batch.lengths)
    terms = []
    for row, length in enumerate(batch.lengths):
        forward, *backward = sequence[row, :length].split(model.hparams["hidden_size"], dim=-1)
        for t in range(length - 1):
            scores = embedding @ model.neighbours.next(forward[t]).tanh() + model.neighbours.bias
            terms.append(-scores.log_softmax(-1)[words[row, t + 1]])
            if bidirectional:
                scores = embedding @ model.neighbours.previous(backward[0][t + 1]).tanh() + model.neighbours.bias
                terms.append(-scores.log_softmax(-1)[words[row, t]])
    torch.testing.assert_close(loss(batch.form_ids, words), torch.stack(terms).sum() / (1 + bidirectional))


def test_no_direction_has_seen_the_word_that_it_predicts():
    model = tagger(num_layers=1, language_model_weight=0.1).eval()
    H = model.hparams["hidden_size"]
    batch = inputs_of(model, [SENTENCES[2], [*SENTENCES[2][:-1], "saw"], ["her", *SENTENCES[2][1:]]])
    one, other_end, other_begin = model.encode(model.embedding(batch.forms), batch.form_ids, batch.lengths)
    torch.testing.assert_close(one[:-1, :H], other_end[:-1, :H])
    torch.testing.assert_close(one[1:, H:], other_begin[1:, H:])
    assert not torch.allclose(one[-1, :H], other_end[-1, :H])
    single = inputs_of(model, [["her"], ["saw"]])
    sequence = model.encode(model.embedding(single.forms), single.form_ids, single.lengths)
    words = single.forms.word_ids[single.form_ids]
    assert model.neighbours(sequence, words, single.lengths, model.embedding.words.weight) == 0


def test_imported_vectors_are_used_kept_and_frozen():
    words = ["<pad>", "<unk>", "saw", "Zürich"]
    model = tagger(vector_words=words, vector_size=3).eval()
    table = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 1.0]])
    before = model(inputs_of(model, SENTENCES))
    model.import_vectors(table)
    assert not torch.equal(model(inputs_of(model, SENTENCES)), before)
    assert not model.embedding.vectors.weight.requires_grad
    assert tagger(vector_words=words, vector_size=3, tune_vectors=True).embedding.vectors.weight.requires_grad
    assert model.codec.indexer.ids(["SAW", "Zürich", "x"])[1].tolist() == [2, 3, 1]
    with pytest.raises(ZooError, match=r"\(2, 3\), got \(3, 3\)"):
        model.import_vectors(torch.zeros(3, 3))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(cell="ltsm"), f"known are {', '.join(sorted(CELLS))}"),
        (dict(head="sofmax"), "did you mean 'softmax'"),
        (dict(tokenizer="word"), "characters, jieba, keras, treebank, whitespace, words"),
        (dict(characters={"encoder": "conv"}), "cnn, gru, layer_norm_lstm, lstm"),
        (dict(head="crf", regularization={"label_smoothing": 0.1}), "softmax head"),
        (dict(language_model_weight=0.1, num_layers=2), "num_layers=1"),
        (dict(dropout=1.5), "dropout"),
        (dict(regularization={"label_smoothing": 3}), "label_smoothing probability"),
        (dict(regularization={"adversarial": -1}), "at least 0, got -1"),
        (dict(regularization={"adversarail": 1}), "did you mean 'adversarial'"),
        (dict(optimizer={"learning_rate": 0}), "learning_rate above 0"),
        (dict(scheme="BIOS"), "tag scheme"),
        (dict(language_model_weight=-1, num_layers=1), "at least 0, got -1"),
    ],
    ids=str,
)
def test_errors_for_invalid_options_name_valid_ones(options, message):
    with pytest.raises(ZooError, match=message):
        tagger(**options)


def test_a_character_tokenizer_needs_no_character_encoder():
    entries = ["<pad>", "<unk>", "王"]
    sizes = [
        SequenceTagger(TaggingCodec(entries, entries, TAGS, tokenizer=tokenizer), embedding_size=10, hidden_size=4)
        for tokenizer in ("characters", "whitespace")
    ]
    assert [model.embedding.output_size for model in sizes] == [10, 210]


def test_a_misspelt_option_raises():
    with pytest.raises(TypeError):
        tagger(hiden_size=3)


def test_learns_the_sample_in_a_bare_trainer(tmp_path):
    pl.seed_everything(0)
    data = TaggingDataModule("sample-en", max_tokens=400)
    sizes = {**SMALL, "hidden_size": 32, "embedding_size": 32, "num_layers": 1}
    model = SequenceTagger(data.codec, **sizes, optimizer=OptimizerOptions(learning_rate=1e-2))
    trainer = pl.Trainer(
        max_epochs=12, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=5.0,
    )  # fmt: skip
    trainer.fit(model, data)
    scores = trainer.test(model, data, verbose=False)[0]
    assert scores["test/accuracy"] > 0.6
    words = [token for s in data.sentences("test") for token in s.tokens]
    gold = [tag for s in data.sentences("test") for tag in s.tags]
    found = [tag for tags in model.predict([s.tokens for s in data.sentences("test")]) for tag in tags]
    assert len(words) == len(found)
    right = sum(a == b for a, b in zip(gold, found, strict=True)) / len(gold)
    assert right == pytest.approx(scores["test/accuracy"], abs=1e-6)
    unknown = [i for i, word in enumerate(words) if word.lower() not in data.codec.words]
    share = sum(gold[i] == found[i] for i in unknown) / len(unknown)
    assert share == pytest.approx(scores["test/unknown_accuracy"], abs=1e-6)


def test_sentences_with_illegal_gold_tags_are_left_out_of_the_loss():
    model = tagger(head="crf", scheme="BIO").eval()
    legal = batch_of(model, SENTENCES[:2], GOLD[:2])
    broken = batch_of(model, SENTENCES[:2], [GOLD[0], ["O", "I-X"]])
    alone = batch_of(model, SENTENCES[:1], GOLD[:1])
    scores = model(legal.inputs)
    expected = model.loss(model(alone.inputs), alone.tag_ids, alone.inputs.lengths)
    torch.testing.assert_close(model.loss(scores, broken.tag_ids, broken.inputs.lengths), expected)
    assert not torch.equal(model.loss(scores, legal.tag_ids, legal.inputs.lengths), expected)


# A tag that is not in the training data; tags that no CRF of this scheme allows.
UNSEEN = [["O", "B-Y", "I-X", "O"], *GOLD[1:]]
BROKEN = [["O", "I-X", "I-X", "O"], *GOLD[1:]]


@pytest.mark.parametrize("options", [dict(), dict(head="crf", scheme="BIO")], ids=str)
@pytest.mark.parametrize("gold", [GOLD, UNSEEN, BROKEN])
def test_losses_and_tags_of_sentences_are_those_of_the_batch(options, gold):
    model = tagger(**options).eval()
    batch = batch_of(model, SENTENCES, gold)
    model.outcomes = Outcomes()
    with torch.no_grad():
        model._evaluate("test", batch)
        scores = model(batch.inputs)
        loss = model.loss(scores, batch.tag_ids, batch.inputs.lengths)
    found = model.outcomes.gathered()
    assert list(found) == list(range(len(SENTENCES)))
    total = sum(one.loss for one in found.values())
    assert total / sum(one.tokens for one in found.values()) == pytest.approx(float(loss))
    answers = model.predict(SENTENCES)
    assert [[model.codec.tags[i] for i in one.tag_ids] for one in found.values()] == answers
    words = [word for sentence in SENTENCES[3:] for word in sentence]
    assert found[3].unknown.tolist() == [True] * len(words) and not found[0].unknown.any()
