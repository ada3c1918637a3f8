"""All recipes under one command: `lstm-zoo`, or `python -m recipes`.

lstm-zoo                            lists the recipes
lstm-zoo RECIPE [...]               runs python -m recipes.RECIPE [...]
lstm-zoo compare RUN RUN ...        compares finished runs on one page
lstm-zoo models                     lists the bundled models
lstm-zoo show NAME                  prints the card of a bundled model
lstm-zoo verify [NAME]              scores a bundled model, or all of them, and compares the scores with the card
lstm-zoo search RECIPE [...]        runs python -m recipes.search RECIPE [...]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from zoo.errors import ZooError
from zoo.packages import require_extra

MODELS = ("models", "show", "verify")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a recipe, or lists the recipes or models."""
    args = list(sys.argv[1:] if argv is None else argv)
    recipes = known_recipes()
    if not args or args[0] in ("-h", "--help"):
        print(usage(recipes))
    elif args[0] == "compare":
        import_module("recipes.compare.__main__").main(args[1:])
    elif args[0] in MODELS:
        show_models(args)
    elif args[0] == "search":
        import_module("recipes.search.__main__").main(args[1:])
    elif args[0] in recipes:
        try:
            require_extra("train")
        except ZooError as error:
            sys.exit(f"error: {error}")
        import_module("recipes.runner.cli").main(import_module(f"recipes.{args[0]}").RECIPE, args[1:])
    else:
        print(f"error: unknown recipe {args[0][:60]!r}\n\n{usage(recipes)}", file=sys.stderr)
        raise SystemExit(2)


def show_models(args: Sequence[str]) -> None:
    """Runs `models`, `show NAME` or `verify [NAME]` as `python -m zoo` does."""
    command, *names = args
    import_module("zoo.__main__").main(["list" if command == "models" else command, *names])


def known_recipes() -> dict[str, str]:
    """The first sentence of each recipe's docstring, by name. It is read from the file, as an import takes seconds."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        if any(isinstance(target, ast.Name) and target.id == "RECIPE" for target in targets):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def usage(recipes: dict[str, str]) -> str:
    """The text that lists the commands."""
    width = max(map(len, recipes)) + 2
    lines = [f"  {name:<{width}}{does}" for name, does in recipes.items()]
    return "\n".join(
        [
            "lstm-zoo RECIPE [fit | validate | test | predict | convert] [flags]     add --help to list the flags",
            "",
            "recipes:",
            *lines,
            "",
            "lstm-zoo compare RUNS  compares finished runs on one page",
            "lstm-zoo models        lists the models that come with this package",
            "lstm-zoo show NAME     prints the card of such a model",
            "lstm-zoo verify NAME   scores such a model, or all of them, and compares the scores with the card",
            "lstm-zoo search RECIPE searches for settings of a recipe that score better",
        ]
    )


if __name__ == "__main__":
    main()
