"""Compares finished runs of one task on one page.

python -m recipes.compare RUN RUN ...                          writes comparison.html
python -m recipes.compare RUN RUN --out page.html --overwrite
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import ZooError
from zoo.packages import require_extra

OUT = "comparison.html"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command. Errors that a user can fix are printed without a traceback."""
    args = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="python -m recipes.compare",
        allow_abbrev=False,
        description="Compares finished runs of one task on one page.",
    )
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="The folders of the runs. The others are compared with the first.",
    )
    add("--out", type=Path, default=Path(OUT), metavar="FILE", help=f"The page to write. Default: {OUT}")
    add("--overwrite", action="store_true", help="Replace the file if there is one.")
    options = parser.parse_args(args)
    try:
        require_extra("train")
        compare(
            options.runs,
            options.out,
            command=f"python -m recipes.compare {shlex.join(args)}",
            overwrite=options.overwrite,
        )
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(options.out)


def compare(runs: Sequence[Path], out: Path, *, command: str, overwrite: bool) -> None:
    """Writes the page of several runs.

    Raises:
        ZooError: `out` is there already, or the runs cannot be compared.
        OSError: the page cannot be written.
    """
    # Its libraries take a second to import, longer than a wrong argument should take to answer.
    from recipes.pages.comparison import comparison_page
    from recipes.pages.html import save

    if out.is_dir():
        raise ZooError(f"--out {out}: expected a file, got a folder: add a name, such as {out / OUT}")
    if out.exists() and not overwrite:
        raise ZooError(f"{out} is there already: add --overwrite to replace it, or choose another file with --out")
    if not out.absolute().parent.is_dir():
        raise ZooError(f"--out {out}: expected a folder at {out.parent}, but there is none: make it first")
    save(comparison_page(runs, command), out)


if __name__ == "__main__":
    main()
