"""The models that come with this package.

python -m zoo                       lists them
python -m zoo show NAME             prints the card of one: its data with their licence, its scores, its command
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.errors import ZooError, unknown_name
from zoo.hub.pretrained import list_pretrained

HEAD = ("name", "task", "language", "corpus", "score on test")
USAGE = "expected `python -m zoo` or `python -m zoo show NAME`"


def main(argv: Sequence[str] | None = None) -> None:
    """Lists the bundled models, or shows the card of one."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        print(answer(args))
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        raise SystemExit(0) from None


def answer(args: Sequence[str]) -> str:
    """Returns the text to print for these arguments.

    Raises:
        ZooError: the arguments are not those of the usage above, or the model is unknown (the known ones are listed).
    """
    cards = list_pretrained()
    if args and args[0] in ("-h", "--help"):
        return __doc__.strip()
    if not args:
        rows = [HEAD, *(_row(name, card) for name, card in cards.items())]
        widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
        lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(lines)
    if args[0] != "show" or len(args) != 2:
        raise ZooError(f"{USAGE}, got {' '.join(args)[:60]!r}")
    if args[1] not in cards:
        raise unknown_name("pretrained model", args[1], cards)
    return json.dumps(cards[args[1]], ensure_ascii=False, indent=2)


def _row(name: str, card: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the line of a model. Its score on test is the one that chose its checkpoint on dev."""
    score = next(iter(card["best_dev"])).removeprefix("val/")
    value = card["scores"][f"test/{score}"]
    return name, card["task"], card["language"], card["data"]["dataset"], f"{score} {100 * value:.2f} %"


if __name__ == "__main__":
    main()
