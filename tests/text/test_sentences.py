"""Splitting texts into sentences, and a model of sentences that reads texts."""

from __future__ import annotations

import time
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import zoo
from datamodules import Seq2SeqDataModule
from zoo.codecs import Seq2SeqCodec
from zoo.errors import ZooError
from zoo.models.options import SearchOptions
from zoo.text import split_sentences
from zoo.text.reversible import SPECIALS
from zoo.text.units import UNITS, Output, join_outputs, place_outputs, split_units

SENTENCES = [
    "A dog runs on the beach.|A man is sleeping.|Two children play!",
    "Dr. Li paid $3.50 to Mrs. Smith.|Why?|She asked.",
    "J. R. R. Tolkien wrote it.|I agree.|It is I.|He came.",
    "He lives on a U.S. Army base.|He works in the U.S.|She knows.",
    "See Fig. 3 and p. 5.|It costs 3.5 pounds, e.g. at example.com.|No. 7 is sold.|He said no.|Then he left.",
    '"Really?" he asked.|"Yes."|She left (with him.)|Next one.',
    "Wait... what?|Wait...|What?!|Yes!!!|Ok",
    "where did you go?|i was at home.|it was 3 p.m. and dark.",
    "1. Go home.|2. Stay there.",
    "Am 3. Oktober kam Hr. Müller, z. B. mit Fr. Meyer.|Es regnete…|Dann nicht.|Er wurde 12.|Dann 13.",
    "Im 19. Jahrhundert, d. h. vor ca. 150 Jahren, war das so.|„Ja!“|Sie ging usw.",
    "我来了。|你呢？|“好吧！”|他说：3.5万。|《你好！》|是书吗……不是！",
    "你好!|我是小明.|他走了?|走了",
    "今日は。|「はい。」|元気ですか？",
    "यह है।|वह था॥|और?",
    "هل أنت هنا؟|نعم.",
    "A title without a stop\n\n|Its first line\ngoes on here.\n|And the second.",
    "no mark at all",
    "It was great. :)|I agree! ;-)|we left.|they stayed, e.g. at home (approx. two).|Wait . . .|Ok",
    "Ok ^_^Now we go.|So nice :)|See http://zoo.org/a|It is ... good.|Ann 11/28/2000 07:35 PM|Bob, hello.",
    "Ends in space.  |Twice.\t",
    "Please buy:\n|- two eggs\n|  * some milk and\nsome - really - good bread\n|2) flour\n|10. salt",
    "We were out of it. |they were in.",
]


def joined(marked: str) -> tuple[str, list[str]]:
    """The text of sentences that are separated by |, and the sentences. Asian sentences have no space between them."""
    parts = marked.split("|")
    spaced = [part if part[-1] in "。！？”」》\n\t " or is_asian(parts) else part + " " for part in parts[:-1]]
    return "".join([*spaced, parts[-1]]), [part.strip() for part in parts]


def is_asian(parts: list[str]) -> bool:
    return "\u4e00" <= parts[0][0] <= "\u9fff"


@pytest.mark.parametrize("marked", SENTENCES)
def test_sentences_end_where_a_reader_ends_them(marked):
    text, expected = joined(marked)
    assert [sentence.strip() for sentence in split_sentences(text)] == expected


@pytest.mark.parametrize("text, sentences", [
    ("This is the end.The next one is", 2), ("What a film!I loved it. She said", 3), ("and others...Then it", 2),
    ("See Newsfeed.Com and Notes.Doc for Mr.Smith", 1), ("in System.out.Print or fooBar", 1),
])  # fmt: skip
def test_a_sentence_may_begin_without_a_space(text, sentences):
    assert len(split_sentences(text)) == sentences


@given(st.text() | st.text(alphabet="aB1. !?\"'()。！”「\n…é", max_size=40))
def test_joined_sentences_are_the_text(text):
    sentences = split_sentences(text)
    assert "".join(sentences) == text and all(sentences)
    assert sum(map(any, [map(str.isalpha, sentence) for sentence in sentences])) >= len(sentences) - 1


@pytest.mark.parametrize("part", ["a. ", "B.", "...", '."', "a.\n\n", "\n"])
def test_the_time_is_linear_in_the_length(part):
    def seconds(length: int) -> float:
        text = part * length
        rounds = []
        for _ in range(3):
            start = time.process_time()
            assert "".join(split_sentences(text)) == text
            rounds.append(time.process_time() - start)
        return min(rounds)

    # A text of ten times the length takes ten times as long; quadratic time would be a hundred times as long.
    assert seconds(10_000) < 40 * max(seconds(1_000), 1e-4)


WORDS = [f"▁{word}" for word in "dog cat eats runs The A".split()]


def translator(kind=zoo.Seq2Seq, unit: str = "sentence") -> zoo.Seq2Seq:
    torch.manual_seed(0)
    codec = Seq2SeqCodec([*SPECIALS, *WORDS, "."], tokenizer="words", unit=unit, max_target=4)
    model = kind(codec, embedding_size=8, encoder_size=8, decoder_size=8, search=SearchOptions(beam=4))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def test_a_text_is_written_sentence_by_sentence():
    model, sentences = translator(), ["The dog runs.", "A cat eats.", "A dog."]
    alone = model.predict(sentences)
    assert len(set(alone)) > 1
    assert model.predict([" ".join(sentences), "", sentences[1]]) == [" ".join(alone), "", alone[1]]
    assert model.predict([f"{sentences[0]}\n\n {sentences[1]}"]) == [f"{alone[0]}\n\n {alone[1]}"]
    assert [output.text for output in model.sample([" ".join(sentences)], top_k=1)] == [
        " ".join(output.text for output in model.sample(sentences, top_k=1))
    ]


def test_the_sentences_that_were_read_have_their_places():
    model, sentences = translator(), ["The dog runs.", "A cat eats.", "A dog."]
    text = f" {sentences[0]}\n\n\t{sentences[1]} {sentences[2]}\n"
    found, nothing = model.predict([text, " \n"], return_offsets=True)
    assert [text[one.start : one.end] for one in found] == sentences
    assert [one.text for one in found] == model.predict(sentences)
    assert nothing == []
    with pytest.raises(ZooError, match="n_best"):
        model.predict([text], n_best=2, return_offsets=True)


@given(st.text(alphabet="aB. \n\t。", max_size=40), st.sampled_from(UNITS))
def test_outputs_have_the_places_of_their_units(text, unit):
    units = split_units(text, unit)
    placed = place_outputs(text, units, [[Output("x", 0.0, 0.0)]] * len(units))
    assert [text[one.start : one.end] for one in placed] == [unit.strip() for unit in units]


def test_the_best_outputs_of_a_text_have_the_best_sums():
    model = translator()
    first, second = model.predict(["The dog runs.", "A cat eats."], n_best=4)
    sums = sorted((one.score + other.score for one, other in product(first, second)), reverse=True)
    (found,) = model.predict(["The dog runs. A cat eats."], n_best=4)
    assert [output.score for output in found] == pytest.approx(sums[:4])
    assert found[0].log_probability == pytest.approx(first[0].log_probability + second[0].log_probability)


@pytest.mark.parametrize("kind", [zoo.Seq2Seq, zoo.Seq2SeqSummarizer])
@pytest.mark.parametrize("unit", UNITS)
def test_a_model_reads_by_its_unit_and_a_summarizer_reads_whole_texts(monkeypatch, kind, unit):
    model, sentences = translator(kind, unit), ["The dog runs. ", "A cat eats."]
    read = []
    convert = model.read
    monkeypatch.setattr(model, "read", lambda texts: read.extend(texts) or convert(texts))
    model.predict(["".join(sentences)])
    in_sentences = unit == "sentence" and kind is zoo.Seq2Seq
    assert read == (sentences if in_sentences else ["".join(sentences)])
    assert model.unit == ("sentence" if in_sentences else "text")


def test_chinese_sentences_are_joined_without_a_space():
    def outputs(*texts: str) -> list[list[Output]]:
        return [[Output(text, 0.0, 0.0)] for text in texts]

    for texts, expected in (
        (("他走了。", "她说：“好。”", "你呢？"), "他走了。她说：“好。”你呢？"),
        (("He left.", "", "You?"), "He left. You?"),
        (("他走了", "You?"), "他走了You?"),
    ):
        units = ["Eins. ", "Zwei. ", "Drei."][: len(texts)]
        assert join_outputs(units, outputs(*texts), 1)[0].text == expected
    assert join_outputs(["他走了。", "你呢？"], outputs("He left.", "You?"), 1)[0].text == "He left. You?"


@pytest.mark.parametrize("sources, unit", [(["A dog.", "Two cats!"], "sentence"), (["A dog. A cat.", "Cats!"], "text")])
def test_the_unit_follows_from_the_training_split(tmp_path, sources, unit):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.en").write_text("\n".join(sources * 20) + "\n", encoding="utf-8")
        (tmp_path / f"{split}.de").write_text("Hund\nKatze\n" * 20, encoding="utf-8")
    files = {split: str(tmp_path / split) for split in ("train", "dev", "test")}
    options = dict(source="en", target="de", tokenizer="words")
    assert Seq2SeqDataModule(**files, **options).codec.unit == unit
    for asked in UNITS:
        assert Seq2SeqDataModule(**files, **options, unit=asked).codec.unit == asked
