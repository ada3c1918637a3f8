"""Texts are normalized in one way, in training and prediction."""

from __future__ import annotations

import importlib
import inspect
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.errors import DataError
from recipes.__main__ import known_recipes
from zoo.codecs import TaggingCodec
from zoo.errors import ZooError
from zoo.text.normalization import NORMALIZATIONS, Normalizer

ACCENTED, COMPOSED = "cafe\u0301", "caf\u00e9"
NAMES = [*NORMALIZATIONS]
# A word in two spellings, and what makes one of them.
SPELLINGS = [
    ([], COMPOSED, COMPOSED),
    (["nfc"], ACCENTED, COMPOSED),
    (["invisible"], "dog\u00adgy\u200b", "doggy"),
    (["full_width"], "Ａ１！", "A1!"),
    (["quotes"], "“it’s”", '"it\'s"'),
    (["nfc", "invisible"], "e\u00ad\u0301", "\u00e9"),
    (["quotes", "nfc"], "’e\u0301", "'\u00e9"),
]


@pytest.mark.parametrize("names, text, normalized", SPELLINGS)
def test_a_normalizer_does_what_its_names_say_and_nothing_else(names, text, normalized):
    assert Normalizer(names)(text) == normalized
    assert Normalizer([name for name in NAMES if name not in names])(text) == text or not names


@given(st.text() | st.text(alphabet="a\u0301ＡＢ　“’\u200b\u00ad\u200d"), st.sets(st.sampled_from(NAMES)))
def test_normalizing_twice_changes_nothing_and_no_token_vanishes(text, names):
    normalize = Normalizer(sorted(names))
    assert normalize(normalize(text)) == normalize(text)
    assert not text.strip() or normalize.token(text).strip()
    if names == {"nfc"}:
        assert normalize(text) == unicodedata.normalize("NFC", text)


def test_joiners_of_words_and_emoji_stay():
    text = "می\u200cخواهم 👨\u200d👩\u200d👧"
    assert Normalizer(["invisible"])(text) == text


@pytest.mark.parametrize("make", [TaggingDataModule, ClassificationDataModule, Seq2SeqDataModule])
def test_unknown_names_are_refused_with_the_known_ones(make):
    with pytest.raises((ZooError, DataError), match="nfc"):
        make(normalization=["nfd"])
    with pytest.raises(ZooError, match=r"one string, 'nfc': put it into a list, \['nfc'\]"):
        make(normalization="nfc")


@pytest.mark.parametrize("name", known_recipes())
def test_every_recipe_has_the_flag(name):
    data = importlib.import_module(f"recipes.{name}").RECIPE.data
    assert inspect.signature(data).parameters["normalization"].default == ("nfc",)


def files(folder, lines: list[str]) -> dict[str, str]:
    (folder / "train.tsv").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return {split: str(folder / "train.tsv") for split in ("train", "dev", "test")}


@pytest.mark.parametrize("names, text, normalized", SPELLINGS)
def test_training_and_prediction_read_one_spelling(tmp_path, names, text, normalized):
    lines = [f"{text} cats\tgood", f"{text} dogs\tbad"] * 20
    options = dict(normalization=names, **files(tmp_path, lines))
    columns = dict(header=False, text_column=0, label_column=1)
    data = ClassificationDataModule(**options, **columns, tokenizer="whitespace", lowercase=False)
    assert normalized in data.codec.vocabulary and data.codec.preprocessor(text) == [normalized]
    pairs = Seq2SeqDataModule(**options, header=False, source=0, target=1, tokenizer="words", format="tsv")
    tokenizer = pairs.codec.indexer.source_tokenizer
    assert tokenizer.join(tokenizer.split(text)) == normalized
    pieces = Seq2SeqDataModule(**options, header=False, source=0, target=0, format="tsv").codec
    assert "<unk>" not in pieces.indexer.source_tokenizer.split(text)
    assert not set(text) - set(normalized) & {*"".join(pieces.source_words)}
    tagged = files(tmp_path, [f"{text}\tN", "dog\tV", ""] * 20)
    codec = TaggingDataModule(**tagged, format="columns", normalization=names, lowercase=False).codec
    assert codec.words[2:] in [(normalized, "dog"), ("dog", normalized)]
    forms = codec.indexer.ids([text, normalized])[0].tolist()
    assert forms[0] == forms[1] > 1
    assert len(set(codec.indexer.spell([text, normalized])[1].tolist())) == 1
    assert type(codec).of(codec.state).normalization == tuple(names)


def test_places_are_those_of_the_text_as_it_was_given():
    codec = TaggingCodec(["<pad>", "<unk>", COMPOSED], ["<pad>", "<unk>", *COMPOSED], ["A", "B"])
    model = zoo.SequenceTagger(codec, hidden_size=4, embedding_size=4).eval()
    text = f"{ACCENTED} {COMPOSED}"
    (tokens,) = model.predict([text], return_offsets=True)
    assert [text[token.start : token.end] for token in tokens] == [ACCENTED, COMPOSED]
    assert model.predict([[ACCENTED, COMPOSED]]) == model.predict([[COMPOSED, COMPOSED]])


def test_a_codec_without_the_field_normalizes_as_by_default():
    codec = zoo.from_pretrained("pos-en-ewt").codec
    state = {name: value for name, value in codec.state.items() if name != "normalization"}
    assert codec.normalization == ("nfc",) and TaggingCodec.of(state) == codec
