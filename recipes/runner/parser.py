"""The parser of flags and config files. It restricts what a config file may contain, and its errors suggest flags."""

from __future__ import annotations

import difflib
import re
import sys
from argparse import HelpFormatter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn

import pytorch_lightning as pl
from jsonargparse import Namespace, set_parsing_settings
from pytorch_lightning.cli import LightningArgumentParser

from recipes.runner.help import TRAINER_HELP, help_text, trainer_help
from recipes.runner.permissions import refuse_permissions
from recipes.runner.trust import distrusted, trust_only
from zoo.errors import ZooError

# Options are documented by a docstring under each field.
set_parsing_settings(docstring_parse_attribute_docstrings=True)

# The largest number of characters in a message. jsonargparse lists every type that a value may have.
LONGEST = 500
# The beginnings of lines in its messages that describe only how it tried to read a value.
NOISE = ("Does not validate", "Subtypes", "Errors:", "Given value type", "Expected a path")


class Parser(LightningArgumentParser):
    """A parser with short errors. Config files cannot grant permissions and cannot run the code of other people.

    Attributes:
        trusted: the classes that the last command line named.
        refused: the reason why this command does not have a flag of another command, by flag.
    """

    trusted: Collection[str] = ()
    refused: Mapping[str, str] = {}

    def knows(self, name: str) -> bool:
        """Whether there is a flag with this name."""
        return f"--{name}" in self._option_string_actions

    def add_class_arguments(self, theclass: type, *args: Any, skip: Iterable[str] = (), **options: Any) -> list[str]:
        """Adds a flag for each argument of a class, except for codecs and models, which only code can pass."""
        if issubclass(theclass, pl.LightningDataModule):
            skip = {*skip, "codec", "extends", "context"}
        if issubclass(theclass, pl.LightningModule):
            skip = {*skip, "context"}
        names: list[str] = super().add_class_arguments(theclass, *args, skip=set(skip), **options)
        return names

    def parse_args(self, args: Sequence[str] | None = None, *options: Any, **more: Any) -> Namespace:  # type: ignore[override]
        """Parses the command line. Config files may name classes of other people only if the command line does."""
        arguments = sys.argv[1:] if args is None else args
        if TRAINER_HELP in arguments:
            print(trainer_help(self, self._defaults_by_flag()), end="")
            raise SystemExit(0)
        self.trusted = trust_only(arguments)
        settings: Namespace = super().parse_args(arguments, *options, **more)
        return settings

    def parse_string(self, content: str, path: str = "", *options: Any, **more: Any) -> Namespace:
        """Parses the content of a config file, which must not contain a permission."""
        try:
            settings: Namespace = super().parse_string(content, path, *options, **more)
        # A group of options, such as the optimizer's, names a class.
        except ImportError as error:
            self.error(str(error), error)
        refuse_permissions(settings, path)
        return settings

    def format_help(self, formatter: HelpFormatter | None = None) -> str:
        return help_text(self, self._defaults_by_flag())

    def _defaults_by_flag(self) -> dict[str, object]:
        defaults: Namespace = self.get_defaults()
        return {action.dest: defaults.get(action.dest) for action in self._actions}

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        # jsonargparse uses such a parser to try whether a value fits, and handles its error.
        if not self.exit_on_error:
            super().error(message, ex)
        raise ZooError(self._explained(message)) from ex

    def _explained(self, message: str) -> str:
        if denied := re.search(r"Importing '([\w.]+)' is not allowed", message):
            return distrusted(denied[1])
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        if linked := re.match(r"argument (\S+) --> (\S+): ", message):
            source, target = (f"--{name}" for name in linked.groups())
            if source not in flags:
                return f"{target} is determined by the training split: leave it out"
            return f"{target} follows from {source}: set {source} instead"
        wrong = [word for word in re.findall(r"--\w[\w.]*", message) if word not in flags]
        for word in wrong:
            if word in self.refused:
                return f"{word} {self.refused[word]}"
        message = one_line(message)
        for word in wrong:
            close = difflib.get_close_matches(word, flags, n=3)
            listing = TRAINER_HELP if word.startswith("--trainer") else "--help"
            close = close or [flag for flag in flags if flag.startswith(word.split(".")[0] + ".")][:3]
            message += f"\nknown flags like {word}: {', '.join(close) or 'none'}; {listing} lists all"
        return message


# The result is a type, which no type checker can know.
def one_of(values: Iterable[str]) -> Any:
    """The type of a flag that takes one of these values."""
    return Literal[*values]


def one_line(message: str) -> str:
    """Shortens a message of jsonargparse, which lists every type that it tried, to the expected and the given value."""
    flag = ""
    if key := re.match(r'Parser key "(.+?)": *', message):
        flag = f"--{key[1]}: "
        message = message[key.end() :]
    given = ""
    problem = ""
    reasons = []
    for line in message.splitlines():
        line = re.sub(r"<class '([\w.]+)'>", r"\1", line.strip(" -")).replace("typing.Literal", "one of ")
        if line.startswith("Given value: "):
            given = f", got {line.removeprefix('Given value: ')}"
        elif line.startswith("Problem with given class_path"):
            problem = line
        # The line that follows explains the problem.
        elif problem:
            return _cut(f"{flag}{problem} {line}")
        elif line and not line.startswith(NOISE) and "NoneType" not in line:
            reasons.append(line.replace("Expected a ", "expected "))
    return _cut(f"{flag}{', or '.join(reasons)}{given}")


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST else f"{message[:LONGEST]} ..."
