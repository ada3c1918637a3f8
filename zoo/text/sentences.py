"""Splits texts into sentences, by rules like those of Unicode (UAX 29) with English and German abbreviations.

A sentence ends with a mark such as `.`, `?` or `。` and the closing quotes, brackets and emoticons behind it. A mark
without a space behind it, as in 3.5 or example.com, ends a sentence in Chinese and Japanese, and between a small and a
capital letter. A full stop may also belong to an abbreviation, an initial or a number. Before a capital letter, an
emoticon or the address of a web page ends a sentence too.
"""

from __future__ import annotations

import re

from zoo.text.abbreviations import BEFORE_NUMBERS, KEEP_STOP, KEEP_STOP_INSIDE, NEVER_LAST
from zoo.text.characters import CHINESE_OR_JAPANESE
from zoo.text.patterns import EMOTICON, FILE_ENDING, TOP_LEVEL, WEB_PAGE

# These may also belong to a word: to an abbreviation, an initial or a number.
FULL_STOPS = ".…"
# These end a sentence if a space follows.
MARKS = FULL_STOPS + "!?‼⁇⁈⁉؟۔।॥։።။។"
# These end a sentence everywhere.
WIDE_MARKS = "。！？｡．"
OPENING = "\"'“‘„‚«»‹›([{「『《（【¿¡-–—"
CLOSING = "\"'”’“‘»«›‹)]}」』》）】"
# In Chinese and Japanese “ opens a quotation; in German it closes one.
WIDE_CLOSING = "\"'”’」』》）】"

END = re.compile(
    rf"(?P<mark>[{MARKS}]+(?:[ ][.?!]+(?!\S)){{0,9}})(?P<closing>[{re.escape(CLOSING)}]*)"
    rf"(?P<emoticon>[ ]?(?:{EMOTICON})(?!\S))?(?P<space>\s*)"
    rf"|(?P<wide>[{MARKS}]*[{WIDE_MARKS}][{MARKS}{WIDE_MARKS}]*)[{re.escape(WIDE_CLOSING)}]*\s*"
)
# The date and time that end the header of an e-mail.
HEADER_TIME = r"\d/\d{1,2}/\d{2,4}[ ]\d{1,2}:\d\d(?::\d\d)?[ ][AP]M"
# Behind these, a capital letter begins a new sentence.
UNMARKED_END = re.compile(rf"(?:(?<!\S)(?:{EMOTICON})|{HEADER_TIME}|{WEB_PAGE})(?P<space>\s*)")
# A mark between a small and a capital letter, as in "the end.The next". Addresses are like that too.
GLUED = re.compile(
    rf"(?<=[a-z]{{3}})(?:[.!?]|\.\.+)(?!(?i:{TOP_LEVEL}|{FILE_ENDING})\b)(?=(?:[A-Z][a-z]+|I|A)(?:['’][a-z]+)?,?\s)"
)
# An empty line, or a line that is followed by an item of a list.
LINE_END = re.compile(r"\n\s*\n\s*|\n[ \t]*(?=(?:[-*•–]|\d{1,2}[.)])[ \t]+\S)")
ASIAN = re.compile(rf"[{CHINESE_OR_JAPANESE}]")
LETTER = re.compile(r"[^\W\d_]")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
# Single letters with a full stop each: initials, U.S., e.g., z.B.
INITIALS = re.compile(r"(?:[^\W\d_]\.)+")
# Two letters and more with a vowel are no abbreviation, unless they are listed as one.
PLAIN_WORD = re.compile(r"(?=[a-z]*[aeiouy])[a-z]{2,}")
ABBREVIATIONS = NEVER_LAST | BEFORE_NUMBERS | KEEP_STOP | KEEP_STOP_INSIDE
SHORT_NUMBER = re.compile(r"\d{1,2}\.")
# Characters before and after a mark that decide whether it ends a sentence.
CONTEXT = 40

# In German a number with a full stop before these words is an ordinal: "am 3. Oktober", "im 19. Jahrhundert".
AFTER_ORDINALS = frozenset(
    "januar jänner februar märz april mai juni juli august september oktober november dezember "
    "jahrhundert jahrhunderts jahrhunderte jahrhunderten jahrtausend jahrtausends etage klasse kapitel".split()
)
# These words begin a new sentence even behind initials, as in "in the U.S. He".
BEGINNINGS = frozenset(
    "he she it they we i you this that these those there the a an and but however in on at if when what who how why "
    "er sie es wir ich ihr das der die dies diese ein eine und aber wenn was wer wie warum im am".split()
)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each with the white space behind it; joined, they are the text.

    >>> split_sentences("Dr. Li paid $3.50. Why? 我来了。你呢？")
    ['Dr. Li paid $3.50. ', 'Why? ', '我来了。', '你呢？']

    An empty line ends a sentence too, and so does a line before an item of a list, but the end of another line does
    not. Every sentence has a letter.
    """
    sentences = []
    start = 0
    first_letter = LETTER.search(text)
    last_letter = next((place for place in reversed(range(len(text))) if LETTER.match(text, place)), -1)
    for end in sorted(_ends(text)):
        if first_letter and first_letter.start() < end <= last_letter:
            sentences.append(text[start:end])
            start = end
            first_letter = LETTER.search(text, start)
    if start < len(text):
        sentences.append(text[start:])
    return sentences


def _ends(text: str) -> set[int]:
    """The positions where sentences end, behind the white space after them."""
    has_capitals = any(map(str.isupper, text))
    marks = {
        match.end()
        for match in END.finditer(text)
        if match["wide"] or _ends_sentence(text, match, has_capitals=has_capitals)
    }
    unmarked = {
        match.end()
        for match in UNMARKED_END.finditer(text)
        if match["space"] and text[match.end() : match.end() + 1].isupper()
    }
    glued = {match.end() for match in GLUED.finditer(text) if "." not in _word_before(text, match.start())}
    lists_and_paragraphs = {match.end() for match in LINE_END.finditer(text)}
    return marks | unmarked | glued | lists_and_paragraphs


def _ends_sentence(text: str, match: re.Match[str], *, has_capitals: bool) -> bool:
    """Whether marks end a sentence. In a text with capitals, a sentence does not begin with a small letter."""
    mark = match["mark"]
    following = text[match.end() : match.end() + CONTEXT].lstrip(OPENING)
    if not match["space"]:
        before = text[match.start() - 1 : match.start()]
        between_asian = ASIAN.match(before) and ASIAN.match(following)
        return bool(between_asian and mark[-1] != "…")
    word = _word_before(text, match.start())
    is_plain = mark == "." and not match["closing"]
    only_full_stops = set(mark) <= {*FULL_STOPS, " "}
    if has_capitals and following[:1].islower() and (match["closing"] or only_full_stops):
        return is_plain and PLAIN_WORD.fullmatch(word) is not None and word not in ABBREVIATIONS
    return not is_plain or not _belongs_to_word(word + ".", following)


def _word_before(text: str, end: int) -> str:
    words = text[max(0, end - CONTEXT) : end].split()
    return words[-1].lstrip(OPENING) if words else ""


def _belongs_to_word(word: str, following: str) -> bool:
    """Whether the full stop at the end of `word` belongs to the word, if `following` comes next."""
    next_match = WORD.match(following)
    next_word = next_match[0].lower() if next_match else ""
    if SHORT_NUMBER.fullmatch(word):
        return next_word in AFTER_ORDINALS
    # "I." is taken for the pronoun at the end of a sentence.
    if INITIALS.fullmatch(word) and word != "I.":
        return following[:1].islower() or next_word not in BEGINNINGS
    abbreviation = word[:-1].lower()
    if abbreviation in BEFORE_NUMBERS and following[:1].isdigit():
        return True
    return abbreviation in NEVER_LAST
