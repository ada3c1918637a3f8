"""Checks that Python finds the packages of this distribution, and not another folder of the same name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


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
