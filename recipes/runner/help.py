"""The help of a command: its own flags, grouped, each with its default and what it does. The Trainer's are on request.

`--help` shows the flags of the recipe and the most used ones of Lightning's Trainer, `--help.trainer` all of the
Trainer's.
"""

from __future__ import annotations

import re
import textwrap
import types
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

WIDTH = 80
TRAINER = "trainer"
TRAINER_HELP = "--help.trainer"
# The flags of the Trainer that most users need.
USED = (
    "max_epochs", "max_steps", "max_time", "accelerator", "devices", "strategy", "precision", "gradient_clip_val",
    "accumulate_grad_batches", "val_check_interval", "limit_train_batches", "log_every_n_steps",
)  # fmt: skip
# The titles of the first sections, by what their flags begin with. The others follow with titles of their own.
TITLES = {"": "The run", "data": "The data", "model": "The model"}
WANDB = "Weights & Biases"
# The texts of flags that jsonargparse and Lightning add, and what stands for their values.
ADDED = {
    "help": ("Show this help.", ""),
    "config": ("A file with values of flags, such as config.yaml in the folder of a run.", "FILE"),
    "print_config": ("Print the values of all flags as such a file, and train nothing.", ""),
    "seed_everything": ("The seed of all random numbers; true for a random seed.", "N"),
}
# A flag that may have more values says so in its text.
MOST_VALUES = 6
# What stands for a value of a type.
PLACEHOLDERS: Mapping[object, str] = {int: "N", float: "X", str: "TEXT", bool: "true|false"}


def help_text(parser: ArgumentParser, defaults: Mapping[str, object]) -> str:
    """The help of a command without the rarely used flags of the Trainer.

    Args:
        parser: the parser of the command.
        defaults: the default of each flag, by its name.
    """
    sections = _sections(parser)
    trainer = sections.pop(TRAINER, [])
    order = [name for name in TITLES if name in sections] + [name for name in sections if name not in TITLES]
    inputs = [action for action in parser._actions if not action.option_strings and action.help != SUPPRESS]
    usage = " ".join(
        [f"usage: {parser.prog}", *(f"[{action.dest.upper()}]" for action in inputs), "[--FLAG VALUE ...]"]
    )
    parts = [usage, _wrapped(parser.description or "", "")]
    parts += [f"{action.dest.upper()}\n{_wrapped(_plain(action.help or ''), '      ')}" for action in inputs]
    parts += [_section(_title(name, sections[name]), sections[name], defaults) for name in order]
    if trainer:
        used = [action for action in trainer if _name(action).rpartition(".")[2] in USED]
        title = f"Lightning's Trainer; {TRAINER_HELP} lists all of its {len(trainer)} flags"
        parts.append(_section(title, used, defaults))
    return "\n\n".join(part for part in parts if part) + "\n"


def trainer_help(parser: ArgumentParser, defaults: Mapping[str, object]) -> str:
    """The help of all flags of the Trainer."""
    flags = _sections(parser).get(TRAINER, [])
    more = "A flag that takes a class has a help of its own: --trainer.logger.help CLASS lists what the class takes."
    return f"{_section('All flags of the Trainer of Lightning', flags, defaults)}\n\n{_wrapped(more, '')}\n"


def _sections(parser: ArgumentParser) -> dict[str, list[Action]]:
    """The flags by what their names begin with, without those of a whole group, or of the help of a class."""
    groups = {_name(action) for action in parser._actions if type(action).__name__ == "_ActionConfigLoad"}
    found: dict[str, list[Action]] = {}
    for action in parser._actions:
        name = _name(action)
        if name and action.help != SUPPRESS and name not in groups and not name.endswith(".help"):
            section = WANDB if name.startswith("wandb") else name.rpartition(".")[0]
            found.setdefault(section, []).append(action)
    return found


def _name(action: Action) -> str:
    """The longest name of a flag without its hyphens; empty for what is no flag."""
    names = [name.removeprefix("--") for name in action.option_strings if name.startswith("--")]
    return names[0] if names else ""


def _title(name: str, actions: Sequence[Action]) -> str:
    if name in ("", WANDB):
        return TITLES.get(name, name)
    if "." not in name:
        return f"{TITLES.get(name, name.replace('_', ' ').capitalize())}: --{name}.*"
    # jsonargparse has the first line of the docstring.
    described = getattr(actions[0], "container", None)
    return f"--{name}.*: {_sentence(getattr(described, 'title', None) or name)}"


def _section(title: str, actions: Sequence[Action], defaults: Mapping[str, object]) -> str:
    return "\n".join([_wrapped(title, ""), *(line for action in actions for line in _flag(action, defaults))])


def _flag(action: Action, defaults: Mapping[str, object]) -> Iterator[str]:
    """A flag with its default in brackets, and below what it does."""
    name = _name(action)
    # What may only be switched on is off.
    default = "" if action.nargs == 0 else _shown(defaults.get(name))
    yield " ".join(part for part in (f"  --{name}", _placeholder(action), default and f"[{default}]") if part)
    text = ADDED[name][0] if name in ADDED else _plain(action.help or "")
    yield _wrapped(_sentence(text) if name.startswith(TRAINER) else text, "      ")


def _shown(default: object) -> str:
    """A default as it is typed; empty if there is none."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list | tuple):
        return ",".join(str(one) for one in default)
    return "" if default is None else str(default)


def _placeholder(action: Action) -> str:
    """What stands for the value of a flag; of a flag that may stand alone, in brackets."""
    if _name(action) in ADDED:
        return ADDED[_name(action)][1]
    if action.nargs == 0:
        return ""
    words = list(dict.fromkeys(_words(getattr(action, "_typehint", None) or action.type)))
    text = "|".join(words) if 0 < len(words) <= MOST_VALUES else "VALUE"
    return f"[{text}]" if action.nargs == "?" else text


def _words(kind: Any) -> Iterator[str]:
    """What may stand for a value of a type; an instance of a class has no such word."""
    origin = get_origin(kind)
    if origin is Literal:
        yield from (str(value) for value in get_args(kind))
    elif origin in (Union, types.UnionType):
        for part in get_args(kind):
            yield from _words(part)
    elif isinstance(origin, type) and issubclass(origin, Sequence):
        yield "[A,B,...]"
    elif kind in PLACEHOLDERS:
        yield PLACEHOLDERS[kind]


def _plain(text: str) -> str:
    """A docstring in one line without markup, as a sentence."""
    text = re.sub(r":\w+:`~?([^`]*)`", lambda match: match[1].rpartition(".")[2], text)
    # The help shows the default in another place.
    text = re.split(r"\s+Defaults?(?: is|:)\s+``", text)[0]
    text = " ".join(text.replace("``", "").split())
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _sentence(text: str) -> str:
    """The first sentence of a text."""
    return re.split(r"(?<=[a-z)\"'])\.\s+(?=[A-Z])", text)[0].rstrip(".") + "."


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
