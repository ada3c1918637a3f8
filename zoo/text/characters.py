"""Characters as readers see them: a base with all that belongs to it (Unicode Standard Annex 29).

Accents, vowel signs, joiners, variation selectors, soft hyphens and skin tones are code points of their own, but no
word may be torn at them. The constants are parts of regular expressions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import chain

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HIRAGANA_AND_KATAKANA = "\u3040-\u30ff"
# These scripts have no spaces between words: each character is a token.
CHINESE_OR_JAPANESE = HIRAGANA_AND_KATAKANA + HAN

SKIN_TONES = range(0x1F3FB, 0x1F400)
# These planes have all marks: the others are of Chinese characters or private.
PLANES = chain(range(0x20000), range(0xE0000, 0xE1000))


def _is_extending(code: int) -> bool:
    """Whether a character belongs to the one before it: marks and formats, but not the space of width zero."""
    return unicodedata.category(chr(code)) in ("Mn", "Mc", "Me", "Cf") and code != 0x200B


def _ranges(codes: Iterable[int]) -> str:
    """The inside of a class of a regular expression."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in runs)


_CODES = sorted({*filter(_is_extending, PLANES), *SKIN_TONES})
_BASIC = _ranges(code for code in _CODES if code < 0x10000)
_HIGHER = _ranges(code for code in _CODES if code >= 0x10000)
# Python looks a class of the basic plane up in one step, and tries the ranges of a higher one in turn.
EXTENDING = rf"(?:[{_BASIC}]|(?=[\U00010000-\U0010ffff])[{_HIGHER}])"

FLAG = r"[\U0001f1e6-\U0001f1ff]{2}"
# A joiner of width zero makes one emoji of several.
JOINED = rf"(?:(?<=\u200d)[^\w\s]{EXTENDING}*)*"
CLUSTER = rf"(?:{FLAG}|\S)(?:{EXTENDING}+{JOINED})?"
CLUSTERS = re.compile(CLUSTER)


def split_clusters(text: str) -> list[str]:
    """Every character that is not white space, with its marks; a flag or a joined emoji is one."""
    return CLUSTERS.findall(text)
