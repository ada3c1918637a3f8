"""The models that come with this package, and those that can be fetched.

python -m zoo [list]                lists the bundled models
python -m zoo show SOURCE           prints the card of a model: its data with their licence, its scores, its command
python -m zoo verify [SOURCE]       compares a model, or all bundled ones, with its card: sums of files, scores on test
python -m zoo fetch SOURCE          fetches a model into the cache, loads it once, and prints its folder
python -m zoo push FOLDER REPO      publishes a model folder as owner/name on the Hugging Face hub

SOURCE is what zoo.from_pretrained takes: a name, a folder, owner/name on the hub, an archive or an artifact.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, unknown_name
from zoo.hub.pretrained import card, from_pretrained, list_pretrained
from zoo.hub.sources import local_folder
from zoo.hugging_face import push_folder
from zoo.model_folder import ModelFolder

HEAD = ("name", "task", "language", "corpus", "score on test")
# The commands, and how many arguments each takes.
COMMANDS = {"list": (0, 0), "show": (1, 1), "verify": (0, 1), "fetch": (1, 1), "push": (2, 2)}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command of the usage above, and prints its answer."""
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
        ZooError: the arguments are not those of the usage above, or the command fails.
    """
    if args and args[0] in ("-h", "--help"):
        return str(__doc__).strip()
    command, *operands = args or ["list"]
    if command not in COMMANDS:
        raise unknown_name("command", command[:60], COMMANDS)
    fewest, most = COMMANDS[command]
    if not fewest <= len(operands) <= most:
        usage = next(line for line in str(__doc__).splitlines() if f"zoo {command}" in line.replace("[list]", "list"))
        raise ZooError(f"expected `{usage.split('  ')[0]}`, got {' '.join(operands)[:60]!r}")
    if command == "list":
        return _table(list_pretrained())
    if command == "show":
        return json.dumps(card(operands[0]), ensure_ascii=False, indent=2)
    if command == "verify":
        return _verified(operands or list(list_pretrained()))
    if command == "fetch":
        folder = local_folder(operands[0])
        # To load it finds what sums cannot: arguments and weights that do not fit each other.
        from_pretrained(folder)
        return str(folder)
    folder = Path(operands[0])
    ModelFolder(folder).verify()
    return push_folder(folder, operands[1])


def _table(cards: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [HEAD, *(_row(name, card) for name, card in cards.items())]
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _row(name: str, card: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the line of a model. Its score on test is the one that chose its checkpoint on dev."""
    score = next(iter(card["best_dev"])).removeprefix("val/")
    value = card["scores"][f"test/{score}"]
    return name, card["task"], card["language"], card["data"]["dataset"], f"{score} {100 * value:.2f} %"


def _verified(sources: Sequence[str]) -> str:
    """Compares models with their cards: first the sums of all files, then the scores on test.

    Raises:
        ZooError: something differs, or scores cannot be computed here.
    """
    folders = {source: local_folder(source) for source in sources}
    for folder in folders.values():
        ModelFolder(folder).verify()
    print("all files have the sums of their cards", file=sys.stderr)
    # Scoring needs corpora and recipes, which import this package. It is the one thing here that needs them.
    verification = import_module("recipes.runner.verification")
    return str(verification.verify(folders))


if __name__ == "__main__":
    main()
