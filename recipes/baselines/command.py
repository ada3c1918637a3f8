"""The command `baselines`, and the baselines of a run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from datamodules.base import CorpusDataModule
from recipes.baselines.baseline import QUICK_EXAMPLES, Baseline
from recipes.baselines.classification import can_fit_tf_idf
from recipes.reports.json_text import json_text
from recipes.reports.tables import print_scores
from recipes.runner.parser import Parser, one_of
from recipes.runner.recipe import Recipe
from zoo.errors import ZooError

DESCRIPTION = """Scores simple answers to a corpus, such as the most frequent label, by the metric of the recipe. They
are fitted on the training split. The scores are printed as a table and, on standard output, as JSON."""


def run_baselines(recipe: Recipe, args: Sequence[str]) -> None:
    """Runs the command `baselines`.

    Raises:
        ZooError: a flag is wrong, or there is no such corpus or split.
    """
    parser = Parser(prog=f"python -m recipes.{recipe.name} baselines", description=DESCRIPTION, allow_abbrev=False)
    parser.add_class_arguments(recipe.data, "data", instantiate=False)
    parser.add_argument("--split", type=one_of(("dev", "test")) | None, help="Default: test, if there is one.")
    parser.set_defaults({name: value for name, value in recipe.defaults.items() if parser.knows(name)})
    options = parser.parse_args(args)
    data = recipe.data(**options.data)
    split = options.split or ("test" if "test" in data.splits else "dev")
    if split not in data.splits:
        raise ZooError(
            f"there is no {split} split: expected --split {', '.join(data.splits[1:])}, or --data.{split} FILE"
        )
    found = list(recipe.baselines(data, "test" if split == "test" else "val", quick=False))
    for baseline in found:
        note = f" ({baseline.note})" if baseline.note else ""
        print_scores(f"{baseline.name}{note} on {data.described(split)}", baseline.scores, file=sys.stderr)
    if not can_fit_tf_idf():
        print("tf-idf of classifiers needs scikit-learn: pip install 'lstm-zoo[baselines]'", file=sys.stderr)
    print(json_text([asdict(baseline) for baseline in found]))


def quick_baselines(recipe: Recipe, data: CorpusDataModule[Any, Any], stage: str) -> list[Baseline]:
    """The baselines that take little time, none for a large corpus. A failure is a warning: the run has its scores."""
    if data.training_examples > QUICK_EXAMPLES:
        return []
    try:
        return list(recipe.baselines(data, stage, quick=True))
    # Whatever fails here, the run has its scores.
    except Exception as error:
        warnings.warn(f"no baselines: {type(error).__name__}: {error}")
        return []
