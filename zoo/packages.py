"""The packages of this distribution stand beside each other; a folder of the same name elsewhere may hide one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]


def check_package(name: str) -> None:
    """Refuses to go on with another package of this name, whose modules would be missed with riddles.

    Raises:
        ImportError: Python finds another one first, such as a folder of the working directory.
    """
    spec = find_spec(name)
    places = [] if spec is None else [Path(place).resolve() for place in spec.submodule_search_locations or ()]
    if places[:1] != [HERE / name]:
        found = ", ".join(map(str, places)) or "none"
        raise ImportError(
            f"expected the package {name} of lstm-zoo in {HERE}, and Python finds {found} first. Rename that folder, "
            "or start from another one: the command lstm-zoo does not look into the working directory"
        )
