"""Unicode normalization of texts, the same in training and prediction."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from zoo.errors import ZooError, unknown_name

# Composed characters (Unicode Standard Annex 15), for which nearly all texts are written already.
DEFAULT = ("nfc",)

# Zero-width space, soft hyphen, word joiner, byte-order mark. The joiners U+200C and U+200D belong to words and emoji.
_INVISIBLE = str.maketrans(dict.fromkeys("\u200b\u00ad\u2060\ufeff", ""))
# The full-width forms of ASCII, which Chinese and Japanese texts mix with ASCII, and the ideographic space.
_FULL_WIDTH = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | {0x3000: " "}
_QUOTES = str.maketrans("‘’‚‛“”„‟", "''''" + '""""')

NORMALIZATIONS: dict[str, Callable[[str], str]] = {
    "invisible": lambda text: text.translate(_INVISIBLE),
    "full_width": lambda text: text.translate(_FULL_WIDTH),
    "quotes": lambda text: text.translate(_QUOTES),
    # This is the last one: what the others change or remove may have kept characters from being composed.
    "nfc": lambda text: unicodedata.normalize("NFC", text),
}


def check_normalizations(names: Sequence[str]) -> list[str]:
    """Returns the names of normalizations as a list.

    Raises:
        ZooError: a name is unknown (the known ones are listed), or `names` is one string.
    """
    if isinstance(names, str):
        raise ZooError(f"expected a list of normalizations, got one string, {names!r}: put it into a list, [{names!r}]")
    for name in names:
        if name not in NORMALIZATIONS:
            raise unknown_name("normalization", name, NORMALIZATIONS)
    return list(names)


class Normalizer:
    """Normalizes texts.

    >>> Normalizer(["full_width", "quotes"])("ＡＢＣ１２３：‘it’")
    "ABC123:'it'"

    Args:
        names: the normalizations, applied in the order of `NORMALIZATIONS`: "nfc" composes characters, "invisible"
            removes zero-width spaces and soft hyphens, "full_width" makes ASCII of full-width forms, and "quotes"
            makes curly quotes straight.

    Raises:
        ZooError: a name is unknown; the known ones are listed.
    """

    def __init__(self, names: Sequence[str]):
        known = check_normalizations(names)
        # The names and not the functions: a model that is pickled takes this object with it.
        self._names = [name for name in NORMALIZATIONS if name in known]

    def __call__(self, text: str) -> str:
        """The normalized text, which may be empty."""
        if text.isascii():
            return text
        for name in self._names:
            text = NORMALIZATIONS[name](text)
        return text

    def token(self, token: str) -> str:
        """The normalized token. A token stays as it is if only white space, or nothing, would be left of it."""
        normalized = self(token)
        return normalized if normalized.strip() else token
