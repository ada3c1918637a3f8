"""Stop words, which say little of what a text is about: two short lists, or a file of the user."""

from __future__ import annotations

import warnings
from pathlib import Path

from zoo.errors import ZooError
from zoo.text.tokenizers import TOKENIZERS

ENGLISH = """
a about after again all also am an and any are as at be because been before being between both but by can could
did do does doing down during each few for from further had has have having he her here hers herself him himself
his how i if in into is it its itself just me more most my myself now of off on once only or other our ours
ourselves out over own same she should so some such than that the their theirs them themselves then there these
they this those through to too under until up very was we were what when where which while who whom why will with
would you your yours yourself yourselves
"""
CHINESE = """
的 了 在 是 我 你 他 她 它 们 我们 你们 他们 她们 它们 和 与 及 或 而 且 就 都 也 还 又 这 那 这个 那个 这些 那些 一 个
之 其 于 以 为 对 从 把 被 让 给 到 上 下 中 里 地 得 着 过 吗 呢 吧 啊 呀 嘛 所 所以 因为 如果 但 但是 以及 等
"""
LISTS = {"english": ENGLISH, "chinese": CHINESE}


def read_stop_words(name_or_file: str | None, tokenizer: str) -> list[str]:
    """The words of a list, in lower case and sorted; none for None.

    The English list has no negations (no, not, nor, against): without them a review says the opposite. The function
    warns of words that the tokenizer splits, because these are never found in a text.

    Args:
        name_or_file: "english", "chinese" or a file with one word a line.
        tokenizer: the name of the tokenizer of the texts.

    Raises:
        ZooError: there is neither a list nor a readable file of this name.
    """
    if name_or_file is None:
        return []
    text = LISTS.get(name_or_file)
    if text is None:
        try:
            text = Path(name_or_file).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            known = ", ".join(LISTS)
            raise ZooError(f"stop words {name_or_file!r}: expected {known} or a file in UTF-8, got: {error}") from error
    words = sorted({word.lower() for word in text.split()})
    # An unknown tokenizer is refused where texts are read.
    split = TOKENIZERS.get(tokenizer, str.split)
    never_found = [word for word in words if len(split(word)) != 1]
    if never_found:
        warnings.warn(
            f"{len(never_found)} of {len(words)} stop words, {never_found[0]} for example, are not left out: the "
            f"tokenizer {tokenizer} does not read them as one token"
        )
    return words
