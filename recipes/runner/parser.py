"""The parser of flags and config files: what a file may say, and what a wrong flag may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NoReturn

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from recipes.runner.permissions import refuse_permissions
from recipes.runner.trust import distrusted, trust_only
from zoo.errors import ZooError

LONGEST = 500  # characters of a message: the parser names all that a value may be
TRIED = ("Does not validate", "Subtypes", "Errors:", "Given value type", "Expected a path")  # no help to anybody


class Parser(LightningArgumentParser):
    """A parser whose config files allow nothing and bring no code, and whose errors are short."""

    def knows(self, name: str) -> bool:
        """Whether there is a flag of this name."""
        return f"--{name}" in self._option_string_actions

    def add_class_arguments(self, theclass: type, *args, skip: Iterable[str] = (), **options) -> list[str]:
        """As the parser above, but no flag gives a datamodule a codec: that of a model is given in code."""
        if issubclass(theclass, pl.LightningDataModule):
            skip = {*skip, "codec"}
        return super().add_class_arguments(theclass, *args, skip=set(skip), **options)

    def parse_args(self, args: Sequence[str], *options, **more) -> Namespace:
        """As the parser above, with the classes trusted that these arguments name; they stay in `trusted`."""
        self.trusted = trust_only(args)
        return super().parse_args(args, *options, **more)

    def parse_string(self, content: str, path: str = "", *options, **more) -> Namespace:
        """The settings of a config file or of one given as text, which must hold no permission."""
        settings = super().parse_string(content, path, *options, **more)
        refuse_permissions(settings, path)
        return settings

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a part of the parser, which tries whether a value fits
            super().error(message, ex)
        raise ZooError(self._explained(message)) from ex

    def _explained(self, message: str) -> str:
        if denied := re.search(r"Importing '([\w.]+)' is not allowed", message):
            return distrusted(denied[1])
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        if linked := re.match(r"argument (\S+) --> (\S+): ", message):
            source, target = (f"--{name}" for name in linked.groups())
            if source not in flags:
                return f"{target} comes from the training split: leave it out"
            return f"{target} is what the data says: set {source} or leave it out"
        wrong = [word for word in re.findall(r"--\w[\w.]*", message) if word not in flags]
        message = one_line(message)
        for word in wrong:
            close = difflib.get_close_matches(word, flags, n=3)
            close = close or [flag for flag in flags if flag.startswith(word.split(".")[0] + ".")][:3]
            message += f"\nknown flags like {word}: {', '.join(close) or 'none'}; --help lists all"
        return message


def one_of(values: Iterable[str]) -> Any:  # a type that no checker can know, as it is made here
    """The type of a flag that takes one of these values."""
    return Literal[*values]


def one_line(message: str) -> str:
    """What was expected and what came, of the ten lines in which the parser says which types it has tried."""
    key = re.match(r'Parser key "(.+?)": *', message)
    flag, rest = (f"--{key[1]}: ", message[key.end() :]) if key else ("", message)
    given, reasons, problem = "", [], ""
    for line in rest.splitlines():
        line = re.sub(r"<class '([\w.]+)'>", r"\1", line.strip(" -")).replace("typing.Literal", "one of ")
        if line.startswith("Given value: "):
            given = f", got {line.removeprefix('Given value: ')}"
        elif line.startswith("Problem with given class_path"):
            problem = line
        elif problem:  # what it is stands in the next line
            return _cut(f"{flag}{problem} {line}")
        elif line and not line.startswith(TRIED) and "NoneType" not in line:
            reasons.append(line.replace("Expected a ", "expected "))
    return _cut(f"{flag}{', or '.join(reasons)}{given}")


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST else f"{message[:LONGEST]} ..."
