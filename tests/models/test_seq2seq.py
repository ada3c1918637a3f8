"""Sequence to sequence: losses are independent of the batch, and decoding step by step equals teacher forcing."""

from __future__ import annotations

import inspect
import itertools
import math
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo import CELLS, Seq2Seq, Seq2SeqSummarizer
from zoo.batches.seq2seq import Pair
from zoo.codecs import Seq2SeqCodec
from zoo.errors import ZooError
from zoo.models.options import POINTER_GENERATOR, AttentionOptions, SearchOptions, Seq2SeqRegularization
from zoo.nn.decoder import DecoderState, Memory, log_coverage
from zoo.text import SentencePieceModel, Vocabulary
from zoo.text.reversible import BEGIN, END, SPECIALS, ReversibleTokenizer

SOURCES = ["the old dog sleeps", "a cat", "the quick zebra eats a quagga today", "dog eats dog"]
TARGETS = ["dog sleeps", "cat !", "zebra eats", "dogs"]
KNOWN = "the old dog sleeps a cat quick eats today zebra !".split()  # not quagga, not dogs
SMALL = dict(embedding_size=6, encoder_size=5, decoder_size=7, dropout=0.0)
VARIANTS = [
    dict(),
    dict(attention=dict(kind="additive", input_feeding=True), cell="gru"),
    dict(attention=dict(kind="none"), tie_embeddings=False),
    dict(attention=dict(kind="additive", copy=True, coverage=True), encoder_layers=2),
    dict(attention=dict(kind="additive", copy=True, coverage=True, input_feeding=True), decoder_layers=2),
    dict(attention=dict(copy=True), fields=dict(target_words=[*SPECIALS, "▁dog", "▁cat", "!"])),
    dict(fields=dict(vector_words=["<pad>", "<unk>", "dog", "Cat"], vector_size=3), tune_vectors=True),
    dict(attention=dict(copy=True), fields=dict(stop_words=["the", "a", "cat"])),
]


def vocabulary() -> list[str]:
    return list(Vocabulary.fit((f"▁{word}" if word.isalpha() else word for word in KNOWN), specials=SPECIALS))


def model_of(kind=Seq2Seq, *, fields=(), attention=(), regularization=(), **options):
    """A small model with these fields of its codec and these changes of its attention and regularization."""
    torch.manual_seed(0)
    codec = Seq2SeqCodec(vocabulary(), **{"tokenizer": "words", "max_target": 8, **dict(fields)})
    default = POINTER_GENERATOR if kind is Seq2SeqSummarizer else AttentionOptions()
    model = kind(
        codec,
        attention=replace(default, **{"size": 6, "coverage_after": 0, **dict(attention)}),
        regularization=Seq2SeqRegularization(**{"label_smoothing": 0.0, **dict(regularization)}),
        **{**SMALL, **options},
    )
    # Coverage and biases are initialized to zero, where they would have no effect.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def batch_of(model, rows=range(4), sources=SOURCES, targets=TARGETS):
    pairs = [Pair(source, target) for source, target in zip(sources, targets, strict=True)]
    return model.codec.dataset(pairs).batch(list(rows))


def log_likelihoods(model, batch) -> list[float]:
    """The log-likelihood of each pair in a batch of its own, from the training loss."""
    return [-model.losses(batch_of(model, [row])).nll.item() for row in batch.rows.tolist()]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@given(order=st.permutations(range(4)))
@settings(max_examples=5)
def test_losses_are_independent_of_padding_order_and_batch(options, order):
    model = model_of(**options).eval()
    batch = batch_of(model, order)
    alone = log_likelihoods(model, batch)
    together = -model.losses(batch).nll.item()
    weights = batch.target_lengths.tolist()
    assert together == pytest.approx(sum(p * n for p, n in zip(alone, weights, strict=True)) / sum(weights), abs=1e-5)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_decoding_step_by_step_equals_decoding_the_whole_sequence(options):
    """The log-probability that a search sums over steps is that which training computes for the whole target."""
    model = model_of(**options).eval()
    batch, search = batch_of(model), replace(model.search, beam=3, length_penalty=0.0)
    with torch.inference_mode():
        found = model.generate(batch.inputs, search, n_best=3)
        for row, best in enumerate(found):
            assert len(best) == 3
            for hypothesis in best:
                target = torch.tensor([[*hypothesis.tokens, SPECIALS.index(END)]])
                pair = batch_of(model, [row])._replace(
                    target_ids=target, target_lengths=torch.tensor([target.shape[1]])
                )
                own = -model.losses(pair).nll.item() * target.shape[1]
                assert hypothesis.log_probability == pytest.approx(own, abs=1e-4) == hypothesis.score


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("feeding", [False, True])
def test_every_parameter_gets_a_gradient_with_every_cell(cell, feeding):
    model = model_of(
        Seq2SeqSummarizer,
        cell=cell,
        tie_embeddings=False,
        attention=dict(input_feeding=feeding),
        regularization=dict(label_smoothing=0.1),
    )
    batch = batch_of(model)
    losses = model.losses(batch)
    (losses.smoothed + losses.coverage).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert all(loss.isfinite().all() for loss in losses)


def test_the_loss_equals_its_formula():
    model = model_of(regularization=dict(label_smoothing=0.1)).eval()
    batch = batch_of(model)
    decoded, *_ = model.follow(batch)
    target = batch.target_ids.masked_fill(batch.target_ids >= len(vocabulary()), SPECIALS.index("<unk>"))
    target = target.masked_fill(torch.arange(target.shape[1]) >= batch.target_lengths[:, None], -100)
    scores = model.project(decoded.output).transpose(1, 2)
    losses = model.losses(batch)
    torch.testing.assert_close(losses.nll, F.cross_entropy(scores, target))
    torch.testing.assert_close(losses.smoothed, F.cross_entropy(scores, target, label_smoothing=0.1))


def test_a_pointer_copies_pieces_outside_the_vocabulary():
    model = model_of(Seq2SeqSummarizer).eval()
    with torch.no_grad():
        # This model always copies and never generates.
        model.pointer.gate.bias.fill_(-50.0)
        model.pointer.gate.weight.zero_()
    (best,) = model.predict(["quagga"], n_best=1, beam=1, min_length=1, max_length=1)
    assert best[0].text == "quagga"
    copied = model.losses(batch_of(model, [0], ["quagga"], ["quagga"])).nll
    absent = model.losses(batch_of(model, [0], ["dog"], ["quagga"])).nll
    assert copied < absent
    step, batch = model.step_function(1), batch_of(model, [0], ["the quagga"], ["dog"])
    memory, state = model(batch.inputs)
    scores, _ = step(torch.tensor([SPECIALS.index(BEGIN)]), state, memory)
    assert scores.shape[1] == len(vocabulary()) + 1
    assert float(scores.exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_special_pieces_are_never_written():
    model = model_of(attention=dict(kind="additive", copy=True)).eval()
    with torch.no_grad():
        # The scores prefer padding, the unknown word and the begin.
        model.output_bias[:3] = 50.0
    for output in model.predict(SOURCES, beam=2):
        assert not any(special in output for special in SPECIALS)


def test_predictions_are_in_order_and_independent_of_batches():
    model = model_of(Seq2SeqSummarizer).train()
    inputs = [*SOURCES, "", "   ", "zebra zebra"]
    expected = [model.predict([text])[0] for text in inputs]
    assert expected[4] == expected[5] == "" and all(expected[:4])
    assert model.predict(inputs) == expected
    assert model.predict(inputs, max_tokens=1) == expected
    assert model.predict(inputs[::-1]) == expected[::-1]
    assert model.predict([]) == [] and model.training
    best = model.predict(inputs, n_best=3, beam=3)
    assert [len(outputs) for outputs in best] == [3, 3, 3, 3, 1, 1, 3]
    assert len({output.text for output in best[0]}) > 1


def test_predict_searches_with_the_given_options():
    model = model_of(Seq2SeqSummarizer).eval()
    assert model.predict(SOURCES, beam=1) == [best[0].text for best in model.predict(SOURCES, beam=1, n_best=1)]
    for text in model.predict(SOURCES, min_length=5, max_length=6):
        assert 5 <= len(model.codec.indexer.target_tokenizer.split(text)) <= 6
    texts = [
        model.codec.indexer.target_tokenizer.split(t) for t in model.predict(SOURCES, min_length=6, block_ngrams=2)
    ]
    assert all(len(set(itertools.pairwise(t))) == len(t) - 1 for t in texts)
    plain, covered = (model.predict(SOURCES, n_best=5, coverage_penalty=c, max_length=2) for c in (0.0, 5.0))
    assert max(o.score for o in covered[2]) < max(o.score for o in plain[2])
    with pytest.raises(ZooError, match="beam of at least 1.*got 0"):
        model.predict(SOURCES, beam=0)


def test_the_search_options_are_saved_with_the_model(tmp_path):
    plain, model = model_of(), model_of(search=SearchOptions(beam=2, min_length=3, max_length=4))
    assert model.predict(SOURCES) == plain.predict(SOURCES, beam=2, min_length=3, max_length=4)
    assert model.predict(SOURCES, beam=5, min_length=1, max_length=8) == plain.predict(SOURCES)
    assert zoo.from_pretrained(model.save_pretrained(tmp_path / "m")).search == model.search
    longest = model_of(search=SearchOptions(min_length=8), fields=dict(max_target=8))
    split = longest.codec.indexer.target_tokenizer.split
    # The codec allows no more than 8 pieces of a target.
    assert {len(split(text)) for text in longest.predict(SOURCES)} == {8}


def test_a_summarizer_has_the_arguments_of_a_translator():
    translator, summarizer = (inspect.signature(kind).parameters for kind in (Seq2Seq, Seq2SeqSummarizer))
    assert list(translator) == list(summarizer)
    others = {name for name, one in translator.items() if one.default != summarizer[name].default}
    assert others == {"attention", "metric"}


def test_the_coverage_penalty_equals_that_of_wu():
    memory = Memory(torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), torch.tensor([[True, True, False]]), torch.zeros(1, 3))
    # These are two hypotheses for one source.
    seen = torch.tensor([[0.5, 0.2, 0.0], [1.7, 0.0, 0.0]])
    expected = torch.tensor([math.log(0.5) + math.log(0.2), math.log(1e-4)])
    torch.testing.assert_close(log_coverage(DecoderState((), seen, seen), memory), expected)


def test_samples_depend_on_the_seed_alone():
    model = model_of(Seq2SeqSummarizer).eval()
    one = model.sample(SOURCES, seed=3)
    assert [o.text for o in model.sample(SOURCES, seed=3, max_tokens=1)] == [o.text for o in one]
    assert [o.text for o in model.sample(SOURCES, seed=4)] != [o.text for o in one]
    assert [o.text for o in model.sample(SOURCES, top_k=1)] == model.predict(SOURCES, beam=1)


def test_a_long_source_is_cut_with_a_warning():
    model = model_of(fields=dict(max_source=3)).eval()
    with pytest.warns(UserWarning, match="2 inputs have more than max_source=3 pieces"):
        outputs = model.predict(["the old dog sleeps", "the old dog eats", "cat"])
    assert outputs[0] == outputs[1] == model.predict(["the old dog"])[0]


@pytest.mark.parametrize(
    "option",
    [
        dict(dropout=0.5),
        dict(regularization=dict(label_smoothing=0.2)),
        dict(regularization=dict(scheduled_sampling=1.0)),
        dict(attention=dict(coverage_after=10)),
    ],
    ids=str,
)
def test_every_regularizer_acts_in_training_only(option):
    plain, model = model_of(Seq2SeqSummarizer), model_of(Seq2SeqSummarizer, **option)
    model.load_state_dict(plain.state_dict())
    batch = batch_of(plain)
    torch.manual_seed(1)
    assert not torch.equal(model.train().losses(batch).smoothed, plain.train().losses(batch).smoothed)
    torch.testing.assert_close(model.eval().losses(batch).nll, plain.eval().losses(batch).nll)


@pytest.mark.parametrize("feeding", [False, True])
def test_coverage_is_the_sum_of_earlier_attention(feeding):
    model = model_of(Seq2SeqSummarizer, attention=dict(input_feeding=feeding))
    decoded, *_ = model.follow(batch_of(model))
    torch.testing.assert_close(decoded.coverage, decoded.weights.cumsum(1) - decoded.weights)
    # Before coverage starts, attention works as if its earlier weights were zero.
    model.attention_options = replace(model.attention_options, coverage_after=1)
    before, *_ = model.follow(batch_of(model))
    torch.testing.assert_close(before.weights[:, 0], decoded.weights[:, 0])
    assert not torch.allclose(before.weights[:, 1], decoded.weights[:, 1], atol=1e-3)


def test_a_shared_vocabulary_has_one_embedding():
    joint, separate = model_of(), model_of(fields=dict(target_words=[*SPECIALS, "▁dog"]))
    assert len(joint.embeddings) == 1 and len(separate.embeddings) == 2
    assert "output.weight" not in joint.state_dict()
    assert "output.weight" in model_of(tie_embeddings=False).state_dict()
    text = separate.predict(["the old dog"], beam=2, min_length=2, max_length=2)
    assert text == ["dog dog"]


@pytest.mark.parametrize("kind", [Seq2Seq, Seq2SeqSummarizer])
def test_reloaded_equals_saved(kind, tmp_path):
    model = model_of(kind).eval()
    again = zoo.from_pretrained(model.save_pretrained(tmp_path / "m"))
    assert type(again) is kind and again.hparams == model.hparams
    assert again.predict(SOURCES, n_best=2) == model.predict(SOURCES, n_best=2)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(cell="ltsm"), "did you mean 'lstm'"),
        (dict(attention=dict(kind="aditive")), "did you mean 'additive'"),
        (dict(metric="bleau"), "did you mean 'bleu'"),
        (dict(fields=dict(tokenizer="word")), "did you mean 'words'"),
        (dict(fields=dict(tokenizer="sentencepiece")), "needs a trained model"),
        (dict(fields=dict(unit="page")), "unknown unit 'page': known are sentence, text"),
        (dict(attention=dict(coverage=True)), "additive attention: use the kind 'additive'"),
        (dict(attention=dict(kind="none", copy=True)), "copying needs attention"),
        (dict(attention=dict(kind="none"), search=dict(coverage_penalty=0.5)), "a coverage_penalty needs attention"),
        (dict(attention=dict(coverage_after=-1)), "coverage_after of at least 0, got 1.0 and -1"),
        (
            dict(attention=dict(input_feeding=True), recurrent={"zoneout": 0.1, "weight_drop": 0.1}),
            "where weight_drop, zoneout would do",
        ),
        (dict(regularization=dict(label_smoothing=1.0)), "label_smoothing"),
        (dict(regularization=dict(scheduled_sampling=1.1)), r"scheduled_sampling in \[0, 1\], got 1.1"),
        (dict(search=dict(beam=0)), "a beam of at least 1"),
        (dict(search=dict(length_penalty=-1.0)), "penalties of 0 or more"),
        (dict(search=dict(min_length=9), fields=dict(max_target=5)), "min_length <= max_length"),
        (dict(search=dict(min_length=9, max_length=5)), "min_length <= max_length"),
        (dict(search=dict(block_ngrams=-1)), "block_ngrams of 1 or more"),
        (dict(search=dict(bean=3)), "unknown option of SearchOptions 'bean': did you mean 'beam'"),
        (dict(fields=dict(max_source=0)), "at least 1"),
        (dict(fields=dict(target_words=["a"])), "must begin with <pad>"),
    ],
    ids=str,
)
def test_errors_for_invalid_options_name_valid_ones(options, message):
    with pytest.raises(ZooError, match=message):
        model_of(**options)


@pytest.mark.parametrize("tokenizer", ["words", "characters", "jieba"])
@given(text=st.text(alphabet="ab é龘🙂,.-\t 9<>x0我来到北京的，\u3000", max_size=20))
def test_joined_pieces_are_the_text(tokenizer, text):
    if tokenizer == "jieba":
        pytest.importorskip("jieba")
    coder = ReversibleTokenizer(tokenizer)
    assert coder.join(coder.split(text)) == " ".join(text.split())


def test_sentencepiece_excludes_stop_words_and_vectors():
    model = SentencePieceModel.fit(SOURCES, 25).serialized
    pieces = dict(tokenizer="sentencepiece", source_sentencepiece_model=model)
    with pytest.raises(ZooError, match="stop words belong to words"):
        Seq2SeqCodec(vocabulary(), stop_words=["a"], **pieces)
    with pytest.raises(ZooError, match="imported vectors belong to words"):
        Seq2SeqCodec(vocabulary(), vector_words=["<pad>", "<unk>"], vector_size=2, **pieces)


def test_jieba_keeps_spaces():
    pytest.importorskip("jieba")
    pieces = ReversibleTokenizer("jieba").split("我来到北京，用 Python和 deep learning")
    assert pieces == ["我", "来到", "北京", "，", "用", "▁Python", "和", "▁deep", "▁learning"]
    assert ReversibleTokenizer("jieba").join(pieces[1:5]) == "来到北京，用"
    assert ReversibleTokenizer("jieba").split(" ") == []


def test_the_error_without_jieba_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(ZooError, match=r"pip install lstm-zoo\[jieba\]"):
        model_of(fields=dict(tokenizer="jieba")).predict(["我来到北京"])


def test_stop_words_are_saved_with_the_model(tmp_path):
    model = model_of(Seq2SeqSummarizer, fields=dict(stop_words=["the", "dog"])).eval()
    plain = model_of(Seq2SeqSummarizer).eval()
    texts = ["The old dog sleeps", "the a the cat dog"]
    expected = plain.predict(["old sleeps", "a cat"], n_best=2)
    assert model.predict(texts, n_best=2) == expected != plain.predict(texts, n_best=2)
    again = zoo.from_pretrained(model.save_pretrained(tmp_path / "m"))
    assert again.predict(texts, n_best=2) == expected
    target = batch_of(model, [0], ["the old dog"], ["the old dog"]).target_ids[0]
    assert model.codec.indexer.text(target[:-1].tolist(), []) == "the old dog"


@pytest.mark.parametrize("kind", [Seq2Seq, Seq2SeqSummarizer])
def test_a_source_of_stop_words_is_one_unknown_word(kind):
    model = model_of(kind, fields=dict(stop_words=["the"])).eval()
    batch = batch_of(model, [0, 1], ["the The", "quick cat"], ["dog", "the cat"])
    read = batch.inputs
    assert read.source_ids[0].tolist() == [1, 0] and read.source_lengths.tolist() == [1, 2]
    assert read.copy_ids[0].tolist() == [0, 0] and read.unknown[0] == []
    assert math.isfinite(model.losses(batch).nll.item())
    inputs = ["the The", "quick cat", "the"]
    outputs = model.predict(inputs)
    assert outputs == [model.predict([text])[0] for text in inputs] and outputs[0] == outputs[2] != ""
    assert not any(special in outputs[0] for special in SPECIALS)
    seen = model.attend("the", "dog")
    assert seen.source == ["<unk>"] and seen.weights.shape == (2, 1)


def test_imported_vectors_are_used_kept_and_frozen(tmp_path):
    vectors = dict(vector_words=["<pad>", "<unk>", "dog", "Dog", "cat"], vector_size=2)
    model = model_of(fields=vectors).eval()
    batch = batch_of(model, [0], ["dog Dog cat Cat DOG zebra"], ["dog"])
    assert batch.inputs.vector_ids.tolist() == [[2, 3, 4, 4, 2, 1]]
    before = model.losses(batch).nll
    table = torch.tensor([[1.0, 2.0], [-1.0, 0.0], [3.0, 1.0]])
    model.import_vectors(table)
    torch.testing.assert_close(model.vectors.weight[2:], table / table.std())
    assert not torch.equal(model.losses(batch).nll, before)
    assert not model.vectors.weight.requires_grad
    assert model_of(tune_vectors=True, fields=vectors).vectors.weight.requires_grad
    again = zoo.from_pretrained(model.save_pretrained(tmp_path / "m"))
    assert torch.equal(again.losses(batch).nll, model.losses(batch).nll)
    with pytest.raises(ZooError, match=r"expected vectors of shape \(3, 2\), got \(3, 3\)"):
        model.import_vectors(torch.zeros(3, 3))
    with pytest.raises(ZooError, match="this model has no imported vectors"):
        model_of().import_vectors(table)


def test_unknown_pieces_have_ids_after_the_vocabulary():
    model = model_of(attention=dict(copy=True))
    batch = batch_of(model, [0, 1], ["the quagga , the quagga", "okapi"], ["quagga okapi dog", "okapi"])
    size = len(vocabulary())
    assert batch.inputs.unknown == [["▁quagga", "▁,"], ["▁okapi"]]
    the = vocabulary().index("▁the")
    assert batch.inputs.copy_ids[0].tolist() == [the, size, size + 1, the, size]
    assert batch.inputs.source_ids[0].tolist() == [the, 1, 1, the, 1]
    assert batch.target_ids[0].tolist() == [size, 1, vocabulary().index("▁dog"), SPECIALS.index(END)]
    assert batch.target_ids[1, :2].tolist() == [size, SPECIALS.index(END)]
    assert batch.inputs.extra == 2
    assert model.codec.indexer.text([size, the], batch.inputs.unknown[1]) == "okapi the"
