"""Checks that Python finds the packages of this distribution, and those that its extras install."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from zoo.errors import ZooError

HERE = Path(__file__).resolve().parents[1]
# What an extra is for, and the modules that it installs. Loading a model and predicting need none of them.
EXTRAS = {
    "train": (
        "training and scoring",
        (
            "docstring_parser",
            "filelock",
            "jinja2",
            "jsonargparse",
            "matplotlib",
            "platformdirs",
            "rich",
            "sacrebleu",
            "wandb",
        ),
    ),
    "hub": ("fetching models", ("huggingface_hub", "platformdirs", "rich")),
    "search": ("searching for settings", ("optuna",)),
}


def require_extra(extra: str) -> None:
    """Refuses to go on if a module of an extra is not installed.

    Args:
        extra: a key of `EXTRAS`.

    Raises:
        ZooError: a module is missing.
    """
    purpose, modules = EXTRAS[extra]
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ZooError(f"for {purpose}, install {', '.join(missing)}: pip install 'lstm-zoo[{extra}]'")


def check_package(name: str) -> None:
    """Refuses another package of this name, which would fail later with a missing module.

    Raises:
        ImportError: Python finds another one first, such as a folder of the working directory.
    """
    spec = find_spec(name)
    places = [] if spec is None else [Path(place).resolve() for place in spec.submodule_search_locations or ()]
    if places[:1] != [HERE / name]:
        found = ", ".join(map(str, places)) or "none"
        raise ImportError(
            f"expected the package {name} of lstm-zoo in {HERE}, but Python finds {found} first. Rename that "
            "folder or start from another one. The command lstm-zoo ignores the working directory"
        )
