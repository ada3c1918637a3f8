"""One command line for all recipes.

python -m recipes.RECIPE [--data.* --model.* --trainer.* ...]   fit, test the best checkpoint, report
python -m recipes.RECIPE fit [...]                             fit alone: the test split is not read
python -m recipes.RECIPE validate --model MODEL [--data.*]      score a trained model on dev
python -m recipes.RECIPE test --model MODEL [--data.*]          the same on test
python -m recipes.RECIPE predict [FILE] --model MODEL           apply it to text
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
    """Runs a recipe's command line; an error that a user can mend is a message, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that its encoding lacks is no reason to end
            stream.reconfigure(errors="backslashreplace")
    args = list(sys.argv[1:] if argv is None else argv)
    command = args.pop(0) if args and args[0] in COMMANDS else None
    for talkative in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    silence_advertisements()
    for noise in ("does not have many workers", "exists and is not empty", "outside the 'fit' stage"):
        warnings.filterwarnings("ignore", message=f".*{noise}")
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
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
    except SIGTERMException:  # which Lightning ends with 0
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # which Lightning ends with 1, as any error
            raise SystemExit(130) from None
        raise
    except OSError as error:  # a reader that has gone, a full disk
        gone = isinstance(error, BrokenPipeError)
        if not gone:
            print(f"error: {error}", file=sys.stderr)
        if sys.stdout is not None:  # or Python would try to write the rest at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0 if gone else 2) from None
