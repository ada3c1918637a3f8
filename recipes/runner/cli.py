"""One command line for all recipes.

python -m recipes.RECIPE [--data.* --model.* --trainer.* ...]   fit, test the best checkpoint, report
python -m recipes.RECIPE fit [...]                             fit only: the test split is not read
python -m recipes.RECIPE validate --model MODEL [--data.*]      score a trained model on dev
python -m recipes.RECIPE test --model MODEL [--data.*]          score a trained model on test
python -m recipes.RECIPE predict [FILE] --model MODEL           apply a trained model to text
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence

from pytorch_lightning.utilities.exceptions import SIGTERMException

from recipes.runner.evaluation import evaluate
from recipes.runner.recipe import Recipe
from recipes.runner.training import train
from zoo.errors import ZooError
from zoo.models.advertisements import silence_advertisements

COMMANDS = ("fit", "validate", "test", "predict")


def main(recipe: Recipe, argv: Sequence[str] | None = None) -> None:
    """Runs a recipe's command line; an error that a user can fix is printed as a message, without a traceback."""
    _prepare_output()
    args = list(sys.argv[1:] if argv is None else argv)
    command = args.pop(0) if args and args[0] in COMMANDS else None
    try:
        if args and not args[0].startswith("-") and command != "predict":
            raise ZooError(f"unknown command {args[0]!r}: known are {', '.join(COMMANDS)}")
        if command == "predict":
            recipe.predict(recipe, args)
        elif command in ("validate", "test"):
            evaluate(recipe, args, command)
        else:
            train(recipe, args, test=command is None)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except SIGTERMException:
        # Lightning alone would exit with 0.
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit as end:
        # Lightning exits with 1 on Ctrl-C, as on any error.
        if isinstance(end.__context__, KeyboardInterrupt):
            raise SystemExit(130) from None
        raise
    except OSError as error:
        # A full disk is an error; a reader that has closed the pipe, such as `head`, is none.
        closed_pipe = isinstance(error, BrokenPipeError)
        if not closed_pipe:
            print(f"error: {error}", file=sys.stderr)
        # What is left in the buffer goes nowhere, or Python would try to write it once more when it exits.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0 if closed_pipe else 2) from None


def _prepare_output() -> None:
    """Lets streams print any name, prints warnings in one line, and silences what tells a user nothing."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the stream's encoding lacks, such as a Chinese one, must not end a training.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    silence_advertisements()
    for noise in ("does not have many workers", "exists and is not empty", "outside the 'fit' stage"):
        warnings.filterwarnings("ignore", message=f".*{noise}")
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
