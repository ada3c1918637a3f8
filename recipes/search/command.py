"""A search from its beginning to its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from recipes.runner.cli import prepare_output
from recipes.runner.recipe import Recipe
from recipes.search.beginning import begin
from recipes.search.conductor import Conductor
from recipes.search.identity import Identity
from recipes.search.progress import SearchProgress
from recipes.search.results import Results
from recipes.search.space import read_space
from recipes.search.study import DATABASE, Study, silence_optuna
from zoo.errors import ZooError
from zoo.metrics.display import higher_is_better

# Flags of the recipe that a search sets itself.
OWN = ("--out", "--resume", "--overwrite")


def search(
    recipe: Recipe, flags: Sequence[str], *, space: Path, folder: Path, trials: int, jobs: int, pruning: bool
) -> None:
    """Runs the trials of a search that its folder does not have yet, and prints what the search has found.

    Args:
        recipe: the recipe whose flags are searched.
        flags: flags that all trials have.
        space: the file with the flags that differ.
        folder: the folder of the search.
        trials: how many trials the search has in all.
        jobs: how many run at once.
        pruning: whether trials are stopped if their scores are low.

    Raises:
        ZooError: a flag or the space is wrong, the folder holds another search, or all trials fail.
        SystemExit: a signal has stopped the search.
    """
    prepare_output()
    silence_optuna()
    _check_flags(flags)
    identity = Identity(recipe.name, tuple(flags), read_space(space, recipe.name))
    # A folder of another search is refused before the data are read, and a wrong flag before there is a folder.
    if (folder / DATABASE).exists():
        Study(folder, identity, pruning=pruning)
    beginning = begin(recipe, flags, identity.space)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ZooError(f"--out {folder}: expected a folder with write permission, got: {error}") from error
    study = Study(folder, identity, pruning=pruning)
    study.begin(beginning.defaults, higher_is_better=higher_is_better(beginning.monitor))
    results = Results(study, recipe, beginning.monitor)
    with SearchProgress(trials) as progress:
        progress.tell(f"{folder}: {len(study.finished())} of {trials} trials are finished; {jobs} at once")
        try:
            Conductor(study, recipe, flags, trials=trials, jobs=jobs, results=results, progress=progress).run()
        except SQLAlchemyError as error:
            reason = str(error).splitlines()[0]
            raise ZooError(f"the database in {folder} fails: {reason}. The same command tries again") from error
    results.write()
    results.draw()
    if study.best is not None:
        print(results.summary(study.best))


def _check_flags(flags: Sequence[str]) -> None:
    """Refuses flags that each trial has of its own, and a word that is no flag."""
    for flag in flags:
        if flag.partition("=")[0] in OWN:
            raise ZooError(f"{flag.partition('=')[0]} is no flag of a search: the same command continues a search")
    if flags and not flags[0].startswith("-"):
        raise ZooError(f"expected a flag after the recipe, got {flags[0]!r}")
