"""The files of a search: its best settings, a table of its trials, and pictures."""

from __future__ import annotations

import csv
import shlex

from optuna.trial import FrozenTrial, TrialState

from recipes.runner.recipe import Recipe
from recipes.runner.run_folder import RunFolder
from recipes.runner.whole_files import replacing
from recipes.search import pictures
from recipes.search.pruning import STOPPED
from recipes.search.run import TRIALS
from recipes.search.space import flag_of
from recipes.search.study import DEFAULTS, REASON, SECONDS, Study, number_of
from zoo.metrics.display import score_format

BEST = "best.yaml"
TABLE = "trials.csv"
# With fewer trials, the best tenth of them is one trial.
FEWEST_TO_COMPARE = 10
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "stopped", TrialState.FAIL: "failed"}


class Results:
    """Writes what a search has found so far into its folder.

    Args:
        study: the trials.
        recipe: the recipe that they run.
        monitor: the name of their score.
    """

    def __init__(self, study: Study, recipe: Recipe, monitor: str):
        self.study = study
        self.recipe = recipe
        self.monitor = monitor
        self.format = score_format(monitor)

    def write(self) -> None:
        """Writes the table, and the settings of the best trial."""
        with self.study.alone():
            self._write_table()
            if self.study.best is not None:
                self._write_best(self.study.best)

    def draw(self) -> None:
        """Draws the history of the search, and which flags matter."""
        with self.study.alone():
            pictures.history(self.study.finished(), self.monitor, self.study.folder / "history.png")
            if len(self.study.complete()) >= FEWEST_TO_COMPARE:
                pictures.importances(self.study.importances(), self.study.folder / "importances.png")

    def best_score(self) -> str:
        """The best score so far, as it is printed; empty if there is none."""
        best = self.study.best
        return "" if best is None else f"best {self.monitor} {self.format.number(best.values[0])}"

    def line(self, trial: FrozenTrial) -> str:
        """A line about a trial that has ended."""
        number = number_of(trial)
        if trial.state == TrialState.FAIL:
            return f"trial {number} failed: {trial.user_attrs[REASON].splitlines()[-1]}"
        score = f"{self.monitor} {self.format.number(trial.values[0])}"
        if trial.state == TrialState.PRUNED:
            age = trial.user_attrs[STOPPED]
            return f"trial {number}: {score}, stopped after {age} validations; {self.best_score()}"
        values = "the defaults" if DEFAULTS in trial.user_attrs else " ".join(flags_of(trial))
        return f"trial {number}: {score}, {trial.user_attrs[SECONDS]:.0f} s; {self.best_score()}; {values}"

    def summary(self, best: FrozenTrial) -> str:
        """What the search has found, and what to do with it.

        Args:
            best: the best trial.
        """
        folder = self.study.folder
        lines = [f"{folder}: trial {number_of(best)} is the best of {len(self.study.finished())}"]
        lines.append(f"  {self.monitor} {self.format.text(best.values[0])}{self._of_defaults()}")
        lines += [f"  {flag}" for flag in flags_of(best)]
        model = shlex.quote(str(self._folder(best)))
        settings = shlex.quote(str(folder / BEST))
        lines += [
            "The test split has not been read. Score the model of this trial on it once:",
            f"  {self.recipe.command} test --model {model}",
            "or train with its settings, and test:",
            f"  {self.recipe.command} --config {settings}",
        ]
        return "\n".join(lines)

    def _of_defaults(self) -> str:
        for trial in self.study.complete():
            if DEFAULTS in trial.user_attrs:
                return f", with the defaults {self.format.text(trial.values[0])}"
        return ""

    def _folder(self, trial: FrozenTrial) -> str:
        return str(self.study.folder / TRIALS / f"{number_of(trial):04d}")

    def _write_best(self, best: FrozenTrial) -> None:
        settings = RunFolder(self.study.folder / TRIALS / f"{number_of(best):04d}").config.read_text("utf-8")
        score = f"{self.monitor} {self.format.text(best.values[0])}"
        head = f"# Trial {number_of(best)} of {self.study.folder}: {score}\n"
        with replacing(self.study.folder / BEST) as part:
            part.write_text(head + settings, encoding="utf-8")

    def _write_table(self) -> None:
        flags = list(self.study.identity.space)
        with (
            replacing(self.study.folder / TABLE) as part,
            part.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.writer(file)
            table.writerow(["trial", "state", self.monitor, "validations", "seconds", *flags])
            for trial in self.study.finished():
                score = trial.values[0] if trial.values else ""
                seconds = trial.user_attrs.get(SECONDS, "")
                values = [trial.params.get(flag, "") for flag in flags]
                row = [number_of(trial), STATES[trial.state], score, len(trial.intermediate_values), seconds, *values]
                table.writerow(row)


def flags_of(trial: FrozenTrial) -> list[str]:
    """The flags of a trial's command line that the search has chosen."""
    return [flag_of(name, value) for name, value in trial.params.items()]
