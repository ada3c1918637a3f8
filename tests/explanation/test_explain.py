"""Attributions add up to the score that they explain, agree with captum, and change nothing in the model."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, asdict
from functools import partial

import pytest
import torch

import zoo
from zoo.codecs import ClassificationCodec, LanguageModelingCodec, Seq2SeqCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.models.options import AttentionOptions, CharacterOptions
from zoo.text import PAD, UNKNOWN
from zoo.text.reversible import SPECIALS

WORDS = ["the", "dog", "cat", "sleeps", "eats", "fish", "and", "runs"]
LETTERS = [PAD, UNKNOWN, *"abcdefghijklmnopqrstuvwxyz"]
TEXT = "the dog eats the fish"


def classifier(**options) -> zoo.TextClassifier:
    codec = ClassificationCodec([PAD, UNKNOWN, *WORDS], ["bad", "good", "odd"])
    return made(zoo.TextClassifier, codec, hidden_size=8, embedding_size=8, **options)


def tagger(**options) -> zoo.SequenceTagger:
    codec = TaggingCodec([PAD, UNKNOWN, *WORDS], LETTERS, list("NVXYZ"))
    characters = CharacterOptions(embedding_size=4, output_size=8)
    sizes = dict(hidden_size=8, embedding_size=8, num_layers=1)
    return made(zoo.SequenceTagger, codec, characters=characters, **sizes, **options)


def writer(kind: type[zoo.Seq2Seq] = zoo.Seq2Seq, **options) -> zoo.Seq2Seq:
    codec = Seq2SeqCodec([*SPECIALS, *(f"▁{word}" for word in WORDS)], tokenizer="words", max_target=4)
    return made(kind, codec, encoder_size=8, decoder_size=8, embedding_size=8, **options)


def language_model(**options) -> zoo.LanguageModel:
    codec = LanguageModelingCodec([PAD, UNKNOWN, "</s>", *WORDS])
    return made(zoo.LanguageModel, codec, hidden_size=8, embedding_size=8, **options)


def made(kind, codec, **options):
    """A model in training mode, with weights that give each input an answer of its own."""
    torch.manual_seed(0)
    model = kind(codec, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.train()


CASES = {
    "classifier": (classifier, {}),
    "attention": (partial(classifier, pooling="max+attention"), {}),
    "tagger": (tagger, dict(position=1)),
    "crf": (partial(tagger, head="crf"), dict(position=1)),
    "emission": (partial(tagger, head="crf"), dict(position=1, emission=True)),
    "writer": (writer, dict(position=0)),
    "summarizer": (partial(writer, zoo.Seq2SeqSummarizer), dict(position=0, output="the quagga")),
    "language model": (language_model, {}),
    "adaptive softmax": (partial(language_model, cutoffs=[5]), {}),
}
BUNDLED = [
    ("sentiment-en-sst2", "a gripping , tender film that never quite loses its way", {}),
    ("sentiment-en-sst2", "the plot is dull and the acting is worse .", dict(target="positive")),
    ("spam-en-sms", "Claim your free prize now, reply YES", {}),
    ("topic-zh-shopping", "苹果很甜，下次再买", {}),
    ("pos-en-ewt", "I saw her duck .", dict(position=3)),
    ("ner-zh-resume", "王珺珊女士，中国国籍。", dict(position=1)),
    ("translate-en-de-multi30k", "A dog runs on the beach.", dict(target="rennt")),
    ("titles-en-acl", "We present a corpus of German dialects, and train taggers on it.", dict(target="dialects")),
]


@pytest.mark.parametrize("name, text, options", BUNDLED, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(BUNDLED)])
def test_integrated_gradients_of_bundled_models_are_complete_within_one_per_cent(name, text, options):
    (explanation,) = zoo.explain(zoo.from_pretrained(name), [text], **options)
    assert explanation.completeness_gap < 0.01
    total = explanation.score - explanation.baseline_score
    assert sum(explanation.attributions) == pytest.approx(total, rel=0.01)


@pytest.mark.parametrize("make, options", CASES.values(), ids=CASES)
def test_integrated_gradients_are_complete(make, options):
    (explanation,) = zoo.explain(make(), [TEXT], steps=100, **options)
    total = explanation.score - explanation.baseline_score
    assert sum(explanation.attributions) == pytest.approx(total, rel=0.01, abs=1e-3)
    assert any(explanation.attributions)


@pytest.mark.parametrize("cell", zoo.CELLS)
def test_every_cell_is_explained(cell):
    # Layer normalization makes any input large, however near it is to zero: the score changes fast beside the baseline.
    steps = 1000 if cell == "layer_norm_lstm" else 300
    (explanation,) = zoo.explain(classifier(cell=cell), [TEXT], steps=steps)
    total = explanation.score - explanation.baseline_score
    assert sum(explanation.attributions) == pytest.approx(total, rel=0.01, abs=1e-3)


@pytest.mark.parametrize("make, options", CASES.values(), ids=CASES)
def test_an_explanation_changes_nothing_and_has_no_dropout(make, options):
    model = make()
    before = copy.deepcopy(model.state_dict())
    (explanation,) = zoo.explain(model, [TEXT], **options)
    assert all(part.training for part in model.modules())
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert zoo.explain(make().eval(), [TEXT], **options) == [explanation]


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", "occlusion"])
@pytest.mark.parametrize("make, options", CASES.values(), ids=CASES)
def test_an_explanation_is_independent_of_the_budget_and_of_the_mode_of_the_caller(make, options, method):
    explain = partial(zoo.explain, make(), [TEXT], method=method, steps=5, **options)
    (expected,) = explain()
    (small,) = explain(max_tokens=7)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert explain() == [expected]
    assert small.attributions == pytest.approx(expected.attributions, abs=1e-5)


def test_several_threads_explain_at_once():
    model = classifier()
    texts = [" ".join([WORDS[i % 8], WORDS[(3 * i + 1) % 8]]) for i in range(16)]
    alone = [zoo.explain(model, [text])[0] for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: zoo.explain(model, [text])[0], texts)) == alone


def test_the_score_of_a_label_is_the_log_odds_of_its_probability():
    model = classifier()
    model.temperature.fill_(1.7)
    (answer,) = model.predict([TEXT])
    for label, probability in answer["probabilities"].items():
        (explanation,) = zoo.explain(model, [TEXT], method="occlusion", target=label)
        assert torch.tensor(explanation.score).sigmoid() == pytest.approx(probability, abs=1e-5)
    assert zoo.explain(model, [TEXT])[0].target == answer["label"]


def test_the_score_of_one_of_several_labels_is_the_log_odds_of_its_probability():
    codec = ClassificationCodec([PAD, UNKNOWN, *WORDS], ["bad", "good"], multi_label=True)
    model = made(zoo.TextClassifier, codec, hidden_size=8, embedding_size=8)
    (answer,) = model.predict([TEXT])
    (explanation,) = zoo.explain(model, [TEXT], target="bad")
    assert torch.tensor(explanation.score).sigmoid() == pytest.approx(answer["probabilities"]["bad"], abs=1e-5)


def test_the_score_of_a_tag_is_the_log_odds_of_its_marginal_probability():
    model = tagger(head="crf").eval()
    batch = model.codec.dataset([TEXT.split()], [["N"] * 5]).batch([0])
    marginals = model.crf.marginals(model(batch.inputs), batch.inputs.lengths)[0]
    for position in (0, 2, 4):
        found = [
            zoo.explain(model, [TEXT.split()], position=position, target=tag, method="occlusion")[0].score
            for tag in model.codec.tags
        ]
        torch.testing.assert_close(torch.tensor(found).sigmoid(), marginals[position], atol=1e-5, rtol=0)
    emissions = model(batch.inputs)[0, 1].softmax(-1)
    (explanation,) = zoo.explain(model, [TEXT], position=1, target="V", emission=True)
    assert torch.tensor(explanation.score).sigmoid() == pytest.approx(emissions[1].item(), abs=1e-5)


def test_a_tag_of_a_later_sentence_is_explained_by_its_own_sentence():
    model = zoo.from_pretrained("pos-en-ewt")
    (explanation,) = zoo.explain(model, ["Time flies. I saw her duck."], position=5, method="occlusion")
    assert explanation.tokens == ("I", "saw", "her", "duck", ".") and explanation.position == 2
    assert explanation == zoo.explain(model, ["I saw her duck."], position=2, method="occlusion")[0]


@pytest.mark.parametrize("kind", [zoo.Seq2Seq, zoo.Seq2SeqSummarizer])
def test_the_scores_of_the_words_of_an_output_add_up_to_its_log_probability(kind):
    model = writer(kind).eval()
    ((best,),) = model.predict([TEXT], n_best=1, beam=1)
    number = len(best.text.split())
    assert number > 1
    scores = [
        zoo.explain(model, [TEXT], output=best.text, position=place, method="occlusion")[0].score
        # The last word is the end.
        for place in range(number + 1)
    ]
    assert sum(scores) == pytest.approx(best.log_probability, abs=1e-3)


def test_a_word_of_several_pieces_is_explained_as_a_whole():
    model = zoo.from_pretrained("translate-en-de-multi30k")
    explain = partial(zoo.explain, model, ["A dog runs on the beach."], output="Ein Hund rennt am Strand.")
    (word,) = explain(target="Strand.")
    assert word.position == 4 and word == explain(position=4)[0]
    (end,) = explain(position=5)
    assert end.target == "</s>"


def test_the_score_of_a_next_token_is_its_log_probability():
    model = language_model()
    (score,) = model.score([f"{TEXT} cat"])
    (explanation,) = zoo.explain(model, [TEXT], target="cat")
    assert explanation.tokens == ("</s>", *TEXT.split())
    assert explanation.score == pytest.approx(score.log_probabilities[-2], abs=1e-5)
    (likely,) = zoo.explain(model, [TEXT])
    assert model.generate([TEXT], top_k=1, max_length=1)[0].removeprefix(TEXT).strip() in (likely.target, "")


@pytest.mark.parametrize("make, options", [CASES["attention"], CASES["writer"], CASES["summarizer"]])
def test_attention_weights_add_up_to_one(make, options):
    (explanation,) = zoo.explain(make(), [TEXT], method="attention", **options)
    assert sum(explanation.attributions) == pytest.approx(1, abs=1e-5)
    assert min(explanation.attributions) >= 0 and len(explanation.attributions) == len(explanation.tokens)


def test_the_attention_at_a_word_is_that_of_attend():
    model = writer()
    attended = model.attend(TEXT, "dog cat")
    (explanation,) = zoo.explain(model, [TEXT], method="attention", output="dog cat", position=1)
    assert explanation.attributions == pytest.approx(attended.weights[1].tolist(), abs=1e-6)
    assert explanation.tokens == tuple(attended.source)


ALL = "a TextClassifier with pooling='attention' and a Seq2Seq with attention"


@pytest.mark.parametrize(
    "make, given, options, message",
    [
        (classifier, "the dog", {}, "put it into a list"),
        (classifier, [None], {}, "None .NoneType. at place 0"),
        (classifier, ["the dog", " \n"], {}, r"at least one token, got ' \\n' at place 1"),
        (tagger, [[]], dict(position=0), r"at least one token, got \[\] at place 0"),
        (writer, [""], {}, "at least one token"),
        (language_model, [""], {}, "at least one token"),
        (classifier, [TEXT], dict(method="gradient"), "unknown method 'gradient'.* input_x_gradient"),
        (classifier, [TEXT], dict(target="fine"), "unknown label 'fine': .*bad, good, odd"),
        (tagger, [TEXT], dict(position=0, target="ADJ"), "unknown tag 'ADJ': known are N, V, X, Y, Z"),
        (tagger, [TEXT], {}, "expected the position of the token to explain, got None: choose from 0 the, 1 dog"),
        (tagger, [TEXT], dict(position=5), "position of a token, 0 to 4, got 5"),
        (tagger, [TEXT], dict(position=-1), "position of a token, 0 to 4, got -1"),
        (tagger, [TEXT], dict(position=True), "got True"),
        (tagger, [TEXT], dict(position=0, emission=True), "has no CRF"),
        (classifier, [TEXT], dict(position=0), "TextClassifier has no position to explain: leave position out"),
        (classifier, [TEXT], dict(output="fish"), "leave output out"),
        (language_model, [TEXT], dict(emission=True), "leave emission out"),
        (language_model, [TEXT], dict(target="quagga"), "token of the vocabulary as the target, got 'quagga'"),
        (language_model, [TEXT], dict(target="dog cat"), "read as 'dog', 'cat'"),
        (writer, [TEXT], {}, "expected the position of the word of the output to explain, got None"),
        (writer, [TEXT], dict(target="sun", output="dog cat"), "expected a word of the output 'dog cat </s>'"),
        (writer, [TEXT], dict(target="dog", output="dog dog"), "at the positions 0, 1: give one of them"),
        (writer, [TEXT], dict(target="dog", output="dog cat", position=1), "position 1 is 'cat', not 'dog'"),
        (writer, ["Dogs run. Cats eat."], dict(position=0), "expected one sentence an input, got 2"),
        (classifier, [TEXT], dict(method="attention"), ALL),
        (tagger, [TEXT], dict(position=0, method="attention"), ALL),
        (language_model, [TEXT], dict(method="attention"), ALL),
        (
            lambda: writer(attention=AttentionOptions(kind="none")),
            [TEXT],
            dict(position=0, output="dog", method="attention"),
            ALL,
        ),
        (classifier, [TEXT], dict(steps=0), "at least 1 step, got 0"),
        (classifier, [TEXT], dict(max_tokens=0), "max_tokens"),
        (lambda: torch.nn.Linear(2, 2), [TEXT], {}, "one of TextClassifier, .* got 'Linear'"),
    ],
)
def test_what_cannot_be_explained_is_refused(make, given, options, message):
    with pytest.raises(ZooError, match=message):
        zoo.explain(make(), given, **options)


def test_no_text_has_no_explanation_and_an_explanation_is_plain_data():
    assert zoo.explain(classifier(), []) == []
    (explanation,) = zoo.explain(classifier(), iter([TEXT]))
    assert {type(value) for value in asdict(explanation).values()} == {tuple, str, float, type(None)}
    with pytest.raises(FrozenInstanceError):
        explanation.score = 0.0
    assert len({explanation, explanation}) == 1


def test_the_gap_is_relative_to_the_difference_of_the_scores():
    explanation = zoo.Explanation(("a", "b"), (1.0, 0.5), "good", "occlusion", score=3.0, baseline_score=1.0)
    assert explanation.completeness_gap == pytest.approx(0.25)
    assert explanation.strongest(1) == ["a"]
