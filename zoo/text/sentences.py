"""Texts to sentences, by rules in the manner of Unicode's (UAX 29), with abbreviations of English and German.

A sentence ends with a mark such as `.`, `?` or `。`, and with the quotes and brackets that close behind it. A mark that
leaves no space behind it, as in 3.5 or example.com, ends nothing, but in Chinese and Japanese. A full stop may also
belong to an abbreviation, to an initial or to a number.
"""

from __future__ import annotations

import re

from zoo.text.characters import CHINESE_OR_JAPANESE

FULL_STOPS = ".…"  # what may belong to a word too
MARKS = FULL_STOPS + "!?‼⁇⁈⁉؟۔।॥։።။។"  # end a sentence where space follows
WIDE_MARKS = "。！？｡．"  # end one wherever they stand
OPENING = "\"'“‘„‚«»‹›([{「『《（【¿¡-–—"
CLOSING = "\"'”’“‘»«›‹)]}」』》）】"

WIDE_CLOSING = "\"'”’」』》）】"  # “ opens there, and closes in German

END = re.compile(
    rf"(?P<mark>[{MARKS}]+)(?P<closing>[{re.escape(CLOSING)}]*)(?P<space>\s*)"
    rf"|(?P<wide>[{MARKS}]*[{WIDE_MARKS}][{MARKS}{WIDE_MARKS}]*)[{re.escape(WIDE_CLOSING)}]*\s*"
)
EMPTY_LINE = re.compile(r"\n\s*\n\s*")
ASIAN = re.compile(rf"[{CHINESE_OR_JAPANESE}]")
LETTER = re.compile(r"[^\W\d_]")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
# Letters with a full stop behind each: initials, U.S., e.g., z.B. and their like.
INITIALS = re.compile(r"(?:[^\W\d_]\.)+")
SHORT_NUMBER = re.compile(r"\d{1,2}\.")

# A name, a number or a noun follows these: they end no sentence.
ABBREVIATIONS = frozenset(
    "mr mrs ms dr drs prof rev gen col capt lt sgt sen rep gov st mt messrs hon "
    "vs cf al eg ie viz approx dept est ed eds inc ltd "
    "hr hrn fr frl ca bzw evtl ggf bspw vgl sog zzt inkl exkl zzgl abzgl geb gest gem lt mind max min "
    "dipl ing med phil jur mag hl bd hrsg str abk".split()
)
# These end none where a number follows.
BEFORE_NUMBERS = frozenset(
    "no nos nr nrn s p pp vol vols fig figs abb tab art abs kap ch sec sect eq bd jg ziff anm tel "
    "jan feb mar apr jun jul aug sep sept oct okt nov dec dez".split()
)
# German writes "am 3. Oktober" and "im 19. Jahrhundert".
AFTER_ORDINALS = frozenset(
    "januar jänner februar märz april mai juni juli august september oktober november dezember "
    "jahrhundert jahrhunderts jahrhunderte jahrhunderten jahrtausend jahrtausends etage klasse kapitel".split()
)
# With these a new sentence begins even behind initials, as in "in the U.S. He".
BEGINNINGS = frozenset(
    "he she it they we i you this that these those there the a an and but however in on at if when what who how why "
    "er sie es wir ich ihr das der die dies diese ein eine und aber wenn was wer wie warum im am".split()
)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each with the white space behind it: joined they are the text.

    >>> split_sentences("Dr. Li paid $3.50. Why? 我来了。你呢？")
    ['Dr. Li paid $3.50. ', 'Why? ', '我来了。', '你呢？']

    An empty line ends a sentence too, a single line's end does not. Nothing without a letter is a sentence.
    """
    sentences = []
    start = 0
    for end in sorted(_ends(text)):
        if LETTER.search(text, start, end) and LETTER.search(text, end):
            sentences.append(text[start:end])
            start = end
    if start < len(text):
        sentences.append(text[start:])
    return sentences


def _ends(text: str) -> set[int]:
    """Where sentences end, the white space behind them included."""
    cased = any(map(str.isupper, text))
    marks = {match.end() for match in END.finditer(text) if match["wide"] or _is_end(text, match, cased)}
    return marks | {match.end() for match in EMPTY_LINE.finditer(text)}


def _is_end(text: str, match: re.Match, cased: bool) -> bool:
    """Whether a mark ends a sentence. Small letters say that it goes on, if the text has capitals (`cased`)."""
    mark, following = match["mark"], text[match.end() : match.end() + 40].lstrip(OPENING)
    if not match["space"]:
        before = text[match.start() - 1 : match.start()]
        return bool(mark[-1] != "…" and ASIAN.match(before) and ASIAN.match(following))
    asks = not set(mark) <= set(FULL_STOPS)
    if cased and following[:1].islower() and (match["closing"] or not asks):
        return False
    if mark != "." or match["closing"]:
        return True
    return not _belongs_to_a_word(_word_before(text, match.start()) + ".", following)


def _word_before(text: str, end: int) -> str:
    words = text[max(0, end - 40) : end].split()
    return words[-1].lstrip(OPENING) if words else ""


def _belongs_to_a_word(word: str, following: str) -> bool:
    """Whether the full stop that ends `word` is no end of a sentence, if `following` comes next."""
    next_word = WORD.match(following)
    next_key = next_word[0].lower() if next_word else ""
    key = word[:-1].lower()
    if SHORT_NUMBER.fullmatch(word):
        return next_key in AFTER_ORDINALS
    if INITIALS.fullmatch(word) and word != "I.":
        return following[:1].islower() or next_key not in BEGINNINGS
    return key in ABBREVIATIONS or (key in BEFORE_NUMBERS and following[:1].isdigit())
