"""Languages: one name for all spellings of a tag, and a guess from the script."""

from __future__ import annotations

import pytest

from datamodules import CATALOG, Seq2SeqDataModule
from zoo.errors import ZooError
from zoo.text.languages import guess_language, is_unspaced, primary_language


@pytest.mark.parametrize(
    "tags, language",
    [
        ("zh zh-CN ZH zh_Hans zh-Hant-TW cmn CMN-Hans yue zho chi", "zh"),
        ("ja ja-JP JA ja_JP jpn", "ja"),
        ("en en-GB EN_us eng", "en"),
        ("de de-1996 de_AT", "de"),
        ("th tha", "th"),
        ("my mya bur", "my"),
        ("fil", "fil"),
        ("und", "und"),
    ],
)
def test_all_spellings_of_a_tag_are_read(tags, language):
    assert {primary_language(tag) for tag in tags.split()} == {language}


@pytest.mark.parametrize("name", ["Chinese", "chinese", "jp", "cn", "", "z", "zh-", "zh CN", "zh.UTF-8", "中文", "12"])
def test_an_invalid_tag_is_refused_with_examples(name):
    with pytest.raises(ZooError, match="unknown language .*: expected a tag of BCP 47, en for English"):
        primary_language(name)
    with pytest.raises(ZooError, match="unknown language"):
        Seq2SeqDataModule(language=name)


def test_unspaced_languages_have_spaces_in_latin_script():
    assert all(map(is_unspaced, ["zh", "ja-JP", "th", "lo", "km", "my", "yue-Hant"]))
    assert not any(map(is_unspaced, ["en", "ko", "hi", "bo", "zh-Latn", "ja_Latn_JP"]))


TEXTS = {
    "en": ["The cat sleeps.", "Café names are no French text, and neither are 3 or 4 numbers in a text of ours."] * 30,
    "und": ["Der Hund läuft schnell.", "Die Fußgänger überqueren die Straße."],
    "zh": ["基于 BERT 的中文命名实体识别方法", "我们提出一种新的方法"],
    "ja": ["深層学習による自然言語処理の研究", "猫は窓のそばで眠る"],
    "th": ["แมวนอนอยู่ข้างหน้าต่าง"],
    "lo": ["ແມວນອນຢູ່ຂ້າງປ່ອງຢ້ຽມ"],
    "km": ["ឆ្មាគេងនៅក្បែរបង្អួច"],
    "my": ["ကြောင်သည် ပြတင်းပေါက်ဘေးတွင် အိပ်သည်"],
}
TEXTS["en"] = [text.replace("Café", "Cafe") if i else text for i, text in enumerate(TEXTS["en"])]


@pytest.mark.parametrize("language", TEXTS)
def test_the_script_of_texts_tells_their_language(language):
    assert guess_language(TEXTS[language]) == language


@pytest.mark.parametrize("texts", [["Собака бежит"], ["कुत्ता दौड़ता है"], ["الكلب يركض"], ["개가 달린다"]], ids=str)
def test_the_language_of_other_scripts_is_undetermined(texts):
    assert guess_language(texts) == "und" and not is_unspaced("und")


def test_texts_without_words_are_taken_for_english():
    assert guess_language([]) == guess_language(["", "123 !"]) == "en"


@pytest.mark.parametrize("language", ["zh", "ja", "en"])
def test_own_files_are_scored_in_the_language_of_their_targets(tmp_path, language):
    rows = "".join(f"a source\t{text}\n" for text in TEXTS[language])
    (tmp_path / "train.tsv").write_text("source\ttarget\n" + rows, encoding="utf-8")
    files = dict(train=str(tmp_path / "train.tsv"), tokenizer="characters")
    assert Seq2SeqDataModule(**files).codec.language == language
    assert Seq2SeqDataModule(**files, language="de").codec.language == "de"


def test_a_catalog_corpus_has_its_language():
    words = dict(tokenizer="words")
    assert Seq2SeqDataModule("sample-phrases", **words).codec.language == "de"
    assert Seq2SeqDataModule("sample-phrases", source="de", target="en", **words).codec.language == "en"
    assert all(primary_language(corpus.language) == corpus.language for corpus in CATALOG.values())
