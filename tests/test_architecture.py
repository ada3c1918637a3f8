"""Imports point one way: recipes -> datamodules -> zoo, without cycles, and nothing heavy slips in."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("zoo", "datamodules", "recipes")
# The floors of `zoo`, lowest first: a module imports from its own folder and from lower floors alone.
FLOORS = (
    ("errors",),
    ("autograd", "card_schema", "download", "memory", "options", "packages", "storage", "threads"),
    ("model_folder",),
    ("hugging_face", "model_card"),
    ("masks",),
    ("text", "generation"),
    ("batches",),
    ("nn", "metrics", "codecs"),
    ("models",),
    ("explanation",),
    ("hub", "interop"),
    ("data", "__main__", ""),
)
FLOOR = {name: height for height, floor in enumerate(FLOORS) for name in floor}
# What a datamodule may know of the models: text, ids and batches, no network.
DATA_SIDE = ("batches", "codecs", "download", "errors", "packages", "text")

# The one exception: a second name of the datamodules, for users alone.
ALIAS = "zoo.data"


def imports_of(path: Path) -> set[str]:
    """Absolute names of the project's own modules that a file imports when it runs."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name in MODULES}


FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
GRAPH = {name: imports_of(path) - {name} for name, path in MODULES.items()}


@pytest.mark.parametrize("module", GRAPH)
def test_imports_point_one_way(module):
    room = module.split(".")[0]
    below = ROOMS[: ROOMS.index(room) + 1] if module != ALIAS else ("zoo", "datamodules")
    assert all(target.split(".")[0] in below for target in GRAPH[module])
    assert ALIAS not in GRAPH[module]
    if room == "datamodules":
        assert {folder_of(target) for target in GRAPH[module] if target.startswith("zoo")} <= set(DATA_SIDE)


def folder_of(module: str) -> str:
    """The folder of a module of `zoo`, or its name where it is in none; "" for `zoo` itself."""
    return f"{module}..".split(".")[1]


@pytest.mark.parametrize("module", [name for name in GRAPH if name.split(".")[0] == "zoo"])
def test_folders_of_zoo_import_from_lower_floors_alone(module):
    folder = folder_of(module)
    for target in GRAPH[module]:
        other = folder_of(target)
        if target.startswith("zoo") and other != folder:
            assert FLOOR[other] < FLOOR[folder], f"{module} imports {target}"


def test_every_file_of_recipes_is_a_recipe():
    for path in sorted((ROOT / "recipes").glob("*.py")):
        if not path.name.startswith("__"):
            assert "RECIPE = Recipe(" in path.read_text("utf-8"), f"{path}: machinery belongs into a folder"


def test_imports_have_no_cycle():
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for target in GRAPH[module]:
                visit(target, (*path, module))
            done.add(module)

    for module in GRAPH:
        visit(module, ())


def test_only_recipes_read_command_line_arguments():
    for module, path in MODULES.items():
        if not module.startswith("recipes"):
            assert not re.search(r"(import|from) (json)?argparse", path.read_text("utf-8")), path


def test_zoo_starts_recipes_in_one_place_alone():
    """Scoring a model needs corpora. `python -m zoo verify` imports what scores it when it is asked to."""
    by_name = [name for name, path in MODULES.items() if "import_module(" in path.read_text("utf-8")]
    assert [name for name in by_name if name.startswith(("zoo", "datamodules"))] == ["zoo.__main__"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_constructor_takes_arbitrary_keywords(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            assert node.args.kwarg is None, f"{path}:{node.lineno}: a typo must raise"
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}: raise a ZooError for what a user can cause"
