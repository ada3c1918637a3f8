"""What a search begins with: the command line of its trials is checked, and its defaults become the first trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.distributions import CategoricalDistribution

from recipes.runner.flags import TrainingCLI
from recipes.runner.recipe import Recipe, instance
from recipes.runner.run_folder import RunFolder
from recipes.runner.trainer import check_trainer
from recipes.search.space import Space, Value, extremes, flag_of
from zoo.errors import ZooError, shown
from zoo.models.base import ZooModule


@dataclass(frozen=True)
class Beginning:
    """What is known before the first trial.

    Attributes:
        defaults: the value of each flag of the space without the search, which the first trial has.
        monitor: the name of the dev score that trials are compared by.
    """

    defaults: dict[str, Value]
    monitor: str


def begin(recipe: Recipe, flags: Sequence[str], space: Space) -> Beginning:
    """Checks the flags of all trials and the space, and reads the training data as a trial does.

    Args:
        recipe: the recipe that the trials run.
        flags: the flags that all trials have.
        space: the flags that differ.

    Raises:
        ZooError: a flag is unknown or has a wrong value, the data cannot be read, or a default is not in the space.
    """
    training = UntrainedCLI(recipe, flags, test=False)
    for values in extremes(space):
        training.parser.parse_args([*flags, *(flag_of(name, value) for name, value in values.items())])
    defaults = {name: training.config[name] for name in space}
    for name, value in defaults.items():
        _check_default(name, value, space)
    return Beginning(defaults, training.monitor)


def _check_default(name: str, value: object, space: Space) -> None:
    distribution = space[name]
    if isinstance(distribution, CategoricalDistribution):
        known = value in distribution.choices
    else:
        # Optuna has no public method for this.
        known = isinstance(value, int | float) and distribution._contains(value)
    if not known:
        raise ZooError(
            f"{name} is {shown(value)} without a search, by default or by a flag, and the first trial has that value, "
            f"but the space does not: add it to the space, or give another one with --{name}"
        )


class UntrainedCLI(TrainingCLI):
    """The command line of a training that makes its data and its model, and no Trainer.

    Attributes:
        monitor: the name of the dev score that chooses the best checkpoint.
    """

    monitor: str

    def before_instantiate_classes(self) -> None:
        check_trainer(self.config.trainer, test=self.test)
        self.add_instantiators()
        self.folder = RunFolder(Path())

    def instantiate_classes(self) -> None:
        self._follow_the_size_of_the_corpus()
        made = self.parser.instantiate_classes(self.config)
        self.monitor = instance(made.model, ZooModule).monitor
