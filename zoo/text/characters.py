"""Regular expressions of characters as readers see them: a base with all its marks (Unicode Standard Annex 29).

Accents, vowel signs, joiners, variation selectors, soft hyphens and skin tones are code points of their own, but a word
must not be split at them. The constants are parts of regular expressions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HIRAGANA_AND_KATAKANA = "\u3040-\u30ff"
# These scripts have no spaces between words: each character is a token.
CHINESE_OR_JAPANESE = HIRAGANA_AND_KATAKANA + HAN

SKIN_TONES = range(0x1F3FB, 0x1F400)
# The planes that have marks: the others hold Chinese characters or are private.
PLANES_WITH_MARKS = (range(0x20000), range(0xE0000, 0xE1000))
ZERO_WIDTH_SPACE = 0x200B
FIRST_AFTER_BASIC_PLANE = 0x10000


def _is_extending(code: int) -> bool:
    """Whether a code point belongs to the one before it: it is a mark or a format character, but not a space."""
    return unicodedata.category(chr(code)) in ("Mn", "Mc", "Me", "Cf") and code != ZERO_WIDTH_SPACE


def _extending_codes() -> list[int]:
    marks = [code for plane in PLANES_WITH_MARKS for code in plane if _is_extending(code)]
    return sorted({*marks, *SKIN_TONES})


def _ranges(codes: Iterable[int]) -> str:
    """Sorted code points as the inside of a character class: `a-cx-x`."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in runs)


_CODES = _extending_codes()
_BASIC = _ranges(code for code in _CODES if code < FIRST_AFTER_BASIC_PLANE)
_HIGHER = _ranges(code for code in _CODES if code >= FIRST_AFTER_BASIC_PLANE)
# Python looks up a character class of the basic plane in one step, but tries the ranges of a higher plane in turn. The
# look-ahead keeps most characters from that.
EXTENDING = rf"(?:[{_BASIC}]|(?=[\U00010000-\U0010ffff])[{_HIGHER}])"

FLAG = r"[\U0001f1e6-\U0001f1ff]{2}"
# A zero-width joiner makes one emoji of several.
JOINED = rf"(?:(?<=\u200d)[^\w\s]{EXTENDING}*)*"
CLUSTER = rf"(?:{FLAG}|\S)(?:{EXTENDING}+{JOINED})?"
CLUSTERS = re.compile(CLUSTER)


def split_clusters(text: str) -> list[str]:
    """Every character that is not white space, with its marks; a flag or a joined emoji is one.

    >>> split_clusters("हिन्दी 👍🏽🇩🇪")
    ['हि', 'न्', 'दी', '👍🏽', '🇩🇪']
    """
    return CLUSTERS.findall(text)
