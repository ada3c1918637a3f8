"""ROUGE and BLEU equal those of the reference packages; keywords and n-grams are counted by hand."""

from __future__ import annotations

import unicodedata

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from zoo.errors import ZooError
from zoo.metrics.generation import (
    TextMetrics,
    bleu,
    keywords,
    lead,
    length_ratio,
    novel_ngrams,
    repetition,
    rouge,
    rouge_by_text,
    units,
)

TEXTS = st.text(alphabet="abc ABC-.1é\u0301 ", max_size=30)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5)


@given(PAIRS)
def test_rouge_equals_that_of_rouge_score(pairs):
    outputs, references = zip(*pairs, strict=True)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    found = rouge_by_text(outputs, references, "en")
    for i, (output, reference) in enumerate(pairs):
        expected = scorer.score(reference, output)
        for name, values in found.items():
            assert values[i] == pytest.approx(expected[name].fmeasure), name
    means = rouge(outputs, references, "en")
    assert means["rougeL"] == pytest.approx(sum(found["rougeL"]) / len(pairs))


def test_chinese_is_scored_by_characters():
    assert units("深度 学习A", "zh") == ["深", "度", "学", "习", "a"]
    scores = rouge(["深度学习"], ["深度的学习"], "zh")
    assert scores == pytest.approx({"rouge1": 8 / 9, "rougeL": 8 / 9, "rouge2": 4 / 7})
    assert units("Fußgänger-Weg", "de") == ["fußgänger", "weg"]


@pytest.mark.parametrize(
    "language, output, reference",
    [("hi", "कि", "का"), ("hi", "दिल", "दल"), ("th", "มี", "มู"), ("my", "ကို", "ကာ"), ("km", "កូ", "កា"), ("lo", "ມີ", "ມູ")]
    + [("ar", "كَتَبَ", "كُتِبَ"), ("he", "שָׁלוֹם", "שִׁלוּם"), ("vi", "ma\u0301", "ma\u0300"), ("fa", "می\u200cرود", "می")],
)
def test_words_with_different_combining_marks_are_different(language, output, reference):
    assert len(units(output, language)) == 1
    assert rouge([output], [reference], language)["rouge1"] == 0
    assert rouge([output], [output], language)["rouge1"] == 1


@pytest.mark.parametrize(
    "language, text", [("vi", "Tiếng Việt rất đẹp"), ("fr", "Été à Nîmes, près de là"), ("ja", "がぎぐげごガギグ")]
)
@pytest.mark.parametrize("score", [rouge, bleu, keywords])
def test_accents_compare_equal_however_they_are_written(language, text, score):
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    assert min(score([decomposed], [text], language).values()) == pytest.approx(1.0)
    assert repetition([text], language, n=1) == repetition([decomposed], language, n=1)


@pytest.mark.parametrize("language", ["zh-CN", "ZH", "zh_Hans", "cmn", "zho", "ja-JP", "JA", "jpn", "th-TH", "yue-HK"])
def test_scores_are_independent_of_the_spelling_of_the_language(language):
    outputs, references = ["我们提出一种新的方法"], ["我们提出一种方法"]
    plain = {"c": "zh", "z": "zh", "y": "zh", "j": "ja", "t": "th"}[language[0].lower()]
    for score in (rouge, bleu):
        found = score(outputs, references, language)
        assert found == score(outputs, references, plain) and min(found.values()) > 0.5
    assert lead("我们提出", 2, language) == "我们"
    TextMetrics("bleu", language)


def test_an_unknown_language_is_refused_in_the_constructor():
    with pytest.raises(ZooError, match="unknown language 'Chinese'.*zh Chinese"):
        TextMetrics("rouge", "Chinese")


def test_bleu_equals_that_of_sacrebleu():
    outputs, references = ["Der Hund läuft schnell nach Hause.", "Ja!"], ["Der Hund rennt schnell nach Hause.", "Ja ."]
    scores = bleu(outputs, references, "de")
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(outputs, [references]).score / 100)
    assert scores["chrf"] == pytest.approx(sacrebleu.corpus_chrf(outputs, [references]).score / 100)
    assert 0 < bleu(["我喜欢狗和猫咪"], ["我喜欢狗和小猫"], "zh")["bleu"] < 1


def test_keywords_are_compared_as_sets():
    scores = keywords(["a_b_b", "x"], ["b_c_a", "y;x"], "zh")
    assert scores == pytest.approx({"keyword_precision": 1.0, "keyword_recall": 3 / 5, "keyword_f1": 6 / 8})
    assert keywords([""], [""], "zh")["keyword_f1"] == 0.0


def test_novelty_repetition_and_length_equal_their_definitions():
    assert novel_ngrams(["the cat sat", "a a"], ["The cat ran.", "b"], "en", 1) == pytest.approx(3 / 5)
    assert novel_ngrams(["the cat sat"], ["The cat ran."], "en", 2) == pytest.approx(1 / 2)
    assert repetition(["a b a b a", "c d"], "en") == pytest.approx(2 / 5)
    assert length_ratio(["a b c"], ["x y"], "en") == pytest.approx(1.5)
    assert lead("one two  three", 2, "en") == "one two" and lead("一二三", 2, "zh") == "一二"
    assert novel_ngrams([""], [""], "en", 2) == repetition([""], "en") == 0.0
