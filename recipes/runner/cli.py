"""The command line of all recipes.

python -m recipes.RECIPE [--data.* --model.* --trainer.* ...]   trains, tests the best checkpoint, and reports
python -m recipes.RECIPE fit [...]                             trains, without reading the test split
python -m recipes.RECIPE validate --model MODEL [--data.*]      scores a trained model on dev
python -m recipes.RECIPE test --model MODEL [--data.*]          scores a trained model on test
python -m recipes.RECIPE predict [FILE] --model MODEL           applies a trained model to text
python -m recipes.RECIPE baselines [--data.*]                   scores simple answers, such as the most frequent label
python -m recipes.RECIPE convert --model MODEL --out FOLDER     stores a trained model in fewer bits
"""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence

from pytorch_lightning.utilities.exceptions import SIGTERMException

from recipes.baselines.command import run_baselines
from recipes.runner.conversion import convert
from recipes.runner.evaluation import evaluate
from recipes.runner.failures import explaining_lost_processes
from recipes.runner.recipe import Recipe
from recipes.runner.training import train
from zoo.errors import ZooError
from zoo.models.advertisements import silence_advertisements

COMMANDS = ("fit", "validate", "test", "predict", "baselines", "convert")


def main(recipe: Recipe, argv: Sequence[str] | None = None) -> None:
    """Runs the command line of a recipe. Errors that a user can fix are printed without a traceback."""
    prepare_output()
    # As it exits, Python would look for garbage among the 450,000 objects of the imported packages for two seconds.
    atexit.register(gc.freeze)
    args = list(sys.argv[1:] if argv is None else argv)
    command = args.pop(0) if args and args[0] in (*COMMANDS, *recipe.commands) else None
    try:
        with explaining_lost_processes():
            _run(recipe, command, args)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except SIGTERMException:
        # Lightning itself would exit with 0.
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit as end:
        # Lightning exits with 1 on Ctrl-C, as on any error.
        if isinstance(end.__context__, KeyboardInterrupt):
            raise SystemExit(130) from None
        raise
    except OSError as error:
        # A full disk is an error. A reader such as `head` that has closed the pipe is not an error.
        closed_pipe = isinstance(error, BrokenPipeError)
        if not closed_pipe:
            print(f"error: {error}", file=sys.stderr)
        # The rest of the buffer goes to the null device. Otherwise Python would try to write it again at exit.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0 if closed_pipe else 2) from None


def _run(recipe: Recipe, command: str | None, args: list[str]) -> None:
    """Runs a command; by default a training, then a test."""
    own = {"predict": recipe.predict, **recipe.commands}
    if args and not args[0].startswith("-") and command not in own:
        raise ZooError(f"unknown command {args[0]!r}: known are {', '.join([*COMMANDS, *recipe.commands])}")
    if command in own:
        own[command](recipe, args)
    elif command in ("validate", "test"):
        evaluate(recipe, args, command)
    elif command == "baselines":
        run_baselines(recipe, args)
    elif command == "convert":
        convert(recipe, args)
    else:
        train(recipe, args, test=command is None)


def prepare_output() -> None:
    """Lets streams print any character, prints each warning on one line, and hides messages of no use to a user."""
    for stream in (sys.stdout, sys.stderr):
        # A character that the stream's encoding does not have must not end a training.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    silence_advertisements()
    for noise in ("does not have many workers", "exists and is not empty", "outside the 'fit' stage"):
        warnings.filterwarnings("ignore", message=f".*{noise}")
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
