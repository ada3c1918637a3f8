"""Language tags, which languages have no spaces between words, and a guess of the language from the script."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from zoo.errors import ZooError
from zoo.text.characters import HAN

# Languages without spaces between words: their texts are measured in characters.
UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "km", "my"})
# The languages of ISO 639-1. Other two letters are a mistake, such as "jp", which is a country.
TWO_LETTERS = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es
    et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki
    kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no
    nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta
    te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()
)
# Names in ISO 639-2 and 639-3 of the languages that metrics treat in their own way.
TWO_OF_THREE_LETTERS = {
    **dict.fromkeys("zho chi cmn yue wuu nan hak gan hsn lzh".split(), "zh"),
    "eng": "en",
    "jpn": "ja",
    "tha": "th",
    "lao": "lo",
    "khm": "km",
    "mya": "my",
    "bur": "my",
}
EXAMPLES = "en for English, de German, fr French, ru Russian, hi Hindi, zh Chinese, ja Japanese, th Thai"
# The tag of BCP 47 for a language that nobody knows.
UNDETERMINED = "und"

# Letters only: `zoo.text.characters` has the whole blocks.
KANA = "\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d"
SCRIPTS = {"th": "\u0e01-\u0e4e", "lo": "\u0e81-\u0edf", "km": "\u1780-\u17d3", "my": "\u1000-\u109f\uaa60-\uaa7f"}
SPACED_WORD = re.compile(rf"[^\W\d_{HAN}{KANA}{''.join(SCRIPTS.values())}]+")
# Texts that are read to guess a language.
SAMPLE = 10_000
# Above this fraction of words with a letter that English lacks, a text is not English.
FOREIGN = 0.02
# In Japanese at least one in so many Chinese characters and kana is kana.
KANA_IN_JAPANESE = 10


@lru_cache
def primary_language(tag: str) -> str:
    """The language of a tag (BCP 47), in two letters if it has such a name.

    >>> [primary_language(tag) for tag in ("zh-CN", "ZH", "zh_Hans", "cmn")]
    ['zh', 'zh', 'zh', 'zh']

    Raises:
        ZooError: the tag is malformed, or no language has these two letters.
    """
    first, *others = _subtags(tag)
    well_formed = re.fullmatch("[a-z]{2,3}", first) and all(re.fullmatch("[a-z0-9]{1,8}", other) for other in others)
    if not well_formed or (len(first) == 2 and first not in TWO_LETTERS):
        raise ZooError(
            f"unknown language {tag!r}: expected a tag of BCP 47, {EXAMPLES}; a region may follow, as in zh-CN"
        )
    return TWO_OF_THREE_LETTERS.get(first, first)


@lru_cache
def is_unspaced(tag: str) -> bool:
    """Whether texts of a language have no spaces between words; false if the tag says that they are in Latin script.

    >>> is_unspaced("zh-CN"), is_unspaced("zh-Latn"), is_unspaced("en")
    (True, False, False)

    Raises:
        ZooError: as `primary_language`.
    """
    return primary_language(tag) in UNSPACED_LANGUAGES and "latn" not in _subtags(tag)


def guess_language(texts: Iterable[str]) -> str:
    """The language of texts, as far as their script tells it.

    Chinese characters are Chinese, or Japanese if there is enough kana among them; Thai, Lao, Khmer and Burmese have
    their own scripts. Other texts are English if their words have only the letters a to z, else undetermined (`und`).

    >>> guess_language(["I came."]), guess_language(["我来了。"]), guess_language(["Ich käme."])
    ('en', 'zh', 'und')
    """
    text = "\n".join(islice(texts, SAMPLE))
    counts = {language: _count(script, text) for language, script in SCRIPTS.items()}
    kana = _count(KANA, text)
    chinese_or_japanese = _count(HAN + KANA, text)
    counts["ja" if kana * KANA_IN_JAPANESE >= chinese_or_japanese else "zh"] = chinese_or_japanese
    words = SPACED_WORD.findall(text)
    language, count = max(counts.items(), key=lambda item: item[1])
    if count > len(words):
        return language
    foreign = sum(not word.isascii() for word in words)
    return UNDETERMINED if foreign > FOREIGN * len(words) else "en"


def _subtags(tag: str) -> list[str]:
    return tag.lower().replace("_", "-").split("-")


def _count(characters: str, text: str) -> int:
    """How many of these characters a text has; `characters` is the inside of a character class."""
    return len(re.findall(f"[{characters}]", text))
