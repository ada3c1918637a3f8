"""Splits raw text into words, in the way of the English treebanks of Universal Dependencies.

The rules are those of UD_English-EWT: contractions and possessives are words of their own (do + n't, Mary + 's),
hyphens separate words except behind a prefix (mother - in - law, but non-human), and an abbreviation keeps its full
stop. In other languages with spaces between words, the rules separate words from punctuation.
"""

from __future__ import annotations

import re
from functools import lru_cache

from zoo.text.abbreviations import BEFORE_NUMBERS, KEEP_STOP, KEEP_STOP_INSIDE, NEVER_LAST
from zoo.text.characters import CLUSTER
from zoo.text.patterns import (
    ADDRESS,
    CURRENCY,
    DECADE,
    EMOTICON,
    HASHTAG,
    HYPHENATED_NUMBER,
    INITIALS,
    LETTER,
    MARKS,
    NAMES,
    NUMBER,
    WITH_SLASH,
    WORD,
)

# The number of stretches of text whose words are cached, and the length above which a stretch is not cached.
REMEMBERED = 50_000
LONGEST_REMEMBERED = 40

APOSTROPHE = "['’`´]"
# A clitic between white space, as in a text whose tokens are separated already.
DETACHED = rf"(?<!\S){APOSTROPHE}(?i:s|m|re|ve|ll|d)(?!\S)"
PREFIX = (
    "(?i:e|non|anti|pre|mid|re|post|over|co|multi|pro|ex|sub|semi|neo|psycho|socio|arch|counter|intra|inter|ultra"
    "|micro|un|pseudo|quasi|bi|cross)"
)
PIECE = re.compile(
    rf"(?P<address>{ADDRESS})"
    rf"|(?P<whole>{EMOTICON}|{NAMES}|{INITIALS}|{HYPHENATED_NUMBER}|{DECADE}|{WITH_SLASH}|{CURRENCY}|{HASHTAG}|{DETACHED})"
    rf"|(?P<number>{NUMBER})(?P<unit>{WORD})?"
    rf"|(?P<word>(?:{PREFIX}-(?={LETTER}))?{WORD}(?:(?:{APOSTROPHE}|[&_]){WORD})*)(?P<stop>\.(?![\w.]))?"
    rf"|{MARKS}|{CLUSTER}"
)
# Marks that may stand behind an address and do not belong to it.
BEHIND_ADDRESS = ".,;:!?)]}'’\"”»…*"
# These are words of their own behind a number.
UNITS = frozenset(
    "am pm a p k m b bn mm cm km kg mg lb lbs oz ft in c f hr hrs min mins sec mph mw mwh gb mb x".split()
)
LONGEST_CLITIC = 3
MOST_CLITICS = 3
CLITIC = re.compile(rf"(?i:n{APOSTROPHE}t|{APOSTROPHE}(?:s|m|re|ve|ll|d))$")
# Contractions that are written without an apostrophe, with a + between their words.
FUSED = (
    "can+not gon+na wan+na got+ta do+nt did+nt does+nt wo+nt ca+nt could+nt would+nt should+nt is+nt are+nt was+nt "
    "were+nt has+nt have+nt had+nt ai+nt i+m i+ve that+s you+re you+ve they+re they+ve we+ve he+s she+s what+s there+s "
    "where+s let+s who+s how+s here+s"
).split()
# How many letters of them belong to the first word.
FIRST_OF_FUSED = {parts.replace("+", ""): parts.index("+") for parts in FUSED}


def split_treebank(text: str) -> list[str]:
    """The words of a sentence, as the English treebanks of Universal Dependencies have them.

    >>> split_treebank("Mr. Li's dog can't re-read it (I'm sure).")
    ['Mr.', 'Li', "'s", 'dog', 'ca', "n't", 're-read', 'it', '(', 'I', "'m", 'sure', ')', '.']
    """
    stretches = text.split()
    words = []
    for place, stretch in enumerate(stretches):
        following = stretches[place + 1] if place + 1 < len(stretches) else ""
        start = 0
        for length in word_lengths(stretch, following):
            end = start + abs(length)
            words.append(stretch[start:end])
            start = end
    return words


def word_lengths(stretch: str, following: str = "") -> tuple[int, ...]:
    """The lengths of the words in a stretch of text without white space; those of clitics are negative.

    A clitic is a word that is written together with the one before it, as n't in "don't".

    >>> word_lengths("(don't:")
    (1, 2, -3, 1)

    Args:
        stretch: without white space.
        following: the stretch behind it in its sentence, which tells whether a full stop belongs to an abbreviation;
            empty if the sentence ends.
    """
    # Only a full stop at the end depends on what follows.
    has_stop = stretch.endswith(".")
    split = _remembered if len(stretch) <= LONGEST_REMEMBERED else _split
    return split(stretch, has_stop and not following, has_stop and following[:1].isdigit())


def _split(stretch: str, ends_sentence: bool, before_number: bool) -> tuple[int, ...]:
    lengths: list[int] = []
    place = 0
    while match := PIECE.match(stretch, place):
        parts = _parts(match, ends_sentence and match.end() == len(stretch), before_number)
        lengths.extend(parts)
        place += sum(map(abs, parts))
    return tuple(lengths)


_remembered = lru_cache(REMEMBERED)(_split)


def _parts(match: re.Match[str], ends_sentence: bool, before_number: bool) -> list[int]:
    """The lengths of the words at the beginning of a match of `PIECE`."""
    if match["address"]:
        # If it has only such marks, the first mark is a word, and the rest is split again.
        return [len(match[0].rstrip(BEHIND_ADDRESS)) or 1]
    if match["unit"] and match["unit"].lower() in UNITS:
        return [len(match["number"]), len(match["unit"])]
    word = match["word"]
    if not word or (match["stop"] and _keeps_stop(word, ends_sentence, before_number)):
        return [len(match[0])]
    first = FIRST_OF_FUSED.get(word.lower())
    return [first, first - len(word)] if first else _without_clitics(word)


def _without_clitics(word: str) -> list[int]:
    """The lengths of a word and the clitics behind it."""
    length = len(word)
    clitics: list[int] = []
    while len(clitics) < MOST_CLITICS and (clitic := CLITIC.search(word[:length][-LONGEST_CLITIC:])):
        if len(clitic[0]) == length:
            break
        length -= len(clitic[0])
        clitics.append(-len(clitic[0]))
    return [length, *reversed(clitics)]


def _keeps_stop(word: str, ends_sentence: bool, before_number: bool) -> bool:
    """Whether the full stop behind a word belongs to it, as that of an abbreviation or an initial does."""
    lower = word.lower()
    if lower in NEVER_LAST or lower in KEEP_STOP:
        return True
    if lower in BEFORE_NUMBERS and before_number:
        return True
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    return (is_initial or lower in KEEP_STOP_INSIDE) and not ends_sentence
