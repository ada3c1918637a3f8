"""ROUGE, BLEU and keywords: equal to the reference packages, and their neighbours counted by hand."""

from __future__ import annotations

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from zoo.text_metrics import bleu, keywords, lead, length_ratio, novel_ngrams, repetition, rouge, rouge_by_text, units

TEXTS = st.text(alphabet="abc ABC-.1é ", max_size=30)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5)


@given(PAIRS)
def test_rouge_is_that_of_rouge_score(pairs):
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


def test_bleu_is_sacrebleus():
    outputs, references = ["Der Hund läuft schnell nach Hause.", "Ja!"], ["Der Hund rennt schnell nach Hause.", "Ja ."]
    scores = bleu(outputs, references, "de")
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(outputs, [references]).score / 100)
    assert scores["chrf"] == pytest.approx(sacrebleu.corpus_chrf(outputs, [references]).score / 100)
    assert 0 < bleu(["我喜欢狗和猫咪"], ["我喜欢狗和小猫"], "zh")["bleu"] < 1


def test_keywords_are_sets():
    scores = keywords(["a_b_b", "x"], ["b_c_a", "y;x"], "zh")
    assert scores == pytest.approx({"keyword_precision": 1.0, "keyword_recall": 3 / 5, "keyword_f1": 6 / 8})
    assert keywords([""], [""], "zh")["keyword_f1"] == 0.0


def test_what_outputs_are_made_of():
    assert novel_ngrams(["the cat sat", "a a"], ["The cat ran.", "b"], "en", 1) == pytest.approx(3 / 5)
    assert novel_ngrams(["the cat sat"], ["The cat ran."], "en", 2) == pytest.approx(1 / 2)
    assert repetition(["a b a b a", "c d"], "en") == pytest.approx(2 / 5)
    assert length_ratio(["a b c"], ["x y"], "en") == pytest.approx(1.5)
    assert lead("one two  three", 2, "en") == "one two" and lead("一二三", 2, "zh") == "一二"
    assert novel_ngrams([""], [""], "en", 2) == repetition([""], "en") == 0.0
