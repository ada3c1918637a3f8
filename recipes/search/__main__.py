"""Searches for settings of a recipe that score better on dev. The test split is never read.

python -m recipes.search pos_tagging --trials 50 --jobs 2 --space space.yaml --data.dataset ud-en-ewt
python -m recipes.search pos_tagging --print_space              prints the space that comes with the recipe

The first trial has the recipe's defaults. The same command continues a search that has ended or was killed, also with
more trials; given while a search runs, on this machine or on another one that sees its folder, it joins in.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from recipes.__main__ import known_recipes
from zoo.errors import ZooError, unknown_name
from zoo.packages import require_extra


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line. Errors that a user can fix are printed without a traceback."""
    try:
        for extra in ("train", "search"):
            require_extra(extra)
        _run(*parser().parse_known_args(argv))
    # A full disk, or a folder that cannot be written to, is no error of the program.
    except (ZooError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


def parser() -> argparse.ArgumentParser:
    """The flags of a search. All others are flags of the recipe."""
    parser = argparse.ArgumentParser(
        "python -m recipes.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="All other flags are those of the recipe, and every trial has them.",
    )
    parser.add_argument("recipe", help="the recipe whose settings are searched, such as pos_tagging")
    parser.add_argument("--trials", type=positive, default=20, help="how many trials the search has in all (20)")
    parser.add_argument("--jobs", type=positive, default=1, help="how many trials run at once (1)")
    parser.add_argument("--space", type=Path, help="a YAML file of flags and their ranges; by default the recipe's own")
    parser.add_argument("--print_space", action="store_true", help="print the recipe's own space, and end")
    parser.add_argument("--out", type=Path, help="the folder of the search; by default runs/search-RECIPE")
    parser.add_argument(
        "--no_pruning", action="store_true", help="let each trial run to its end, however low its scores are"
    )
    return parser


def positive(text: str) -> int:
    """A number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _run(options: argparse.Namespace, flags: list[str]) -> None:
    recipes = known_recipes()
    if options.recipe not in recipes:
        raise unknown_name("recipe", options.recipe, recipes)
    # Optuna is an extra.
    space = import_module("recipes.search.space")
    if options.print_space:
        print(space.starting_space(options.recipe).read_text("utf-8"), end="")
        return
    import_module("recipes.search.command").search(
        import_module(f"recipes.{options.recipe}").RECIPE,
        flags,
        space=options.space or space.starting_space(options.recipe),
        folder=options.out or Path("runs") / f"search-{options.recipe}",
        trials=options.trials,
        jobs=options.jobs,
        pruning=not options.no_pruning,
    )


if __name__ == "__main__":
    main()
