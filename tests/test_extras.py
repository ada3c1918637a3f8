"""What is installed without extras is enough to load a model and to predict; the rest names the extra that it needs."""

from __future__ import annotations

import configparser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from command_line import ROOT, run_python
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from zoo.errors import ZooError
from zoo.packages import EXTRAS, require_extra

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
# The names of these modules are not those of their distributions.
MODULES = {"docstring-parser": "docstring_parser"}
CODE = """
import contextlib, io, sys
import zoo

print(zoo.from_pretrained("pos-en-ewt").predict(["I saw her duck ."]))
print(zoo.from_pretrained("translate-en-de-multi30k").predict(["A man sleeps."]))
assert not {"wandb", "matplotlib", "rich", "sacrebleu", "jsonargparse"} & set(sys.modules)
try:
    import datamodules
except zoo.errors.ZooError as error:
    print(error)
try:
    zoo.from_pretrained("hf:owner/name")
except zoo.errors.ZooError as error:
    print(error)
from recipes.__main__ import main

with contextlib.redirect_stdout(io.StringIO()):
    main(["models"])
try:
    main(["spam", "predict"])
except SystemExit as end:
    print(end)
"""


def requirements(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.split("\n") if line.strip()]


def base_environment(folder: Path) -> None:
    """Links all that `pip install .` installs without extras into a folder."""
    todo = requirements(SETUP["options"]["install_requires"])
    done = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        for text in found.requires or ():
            other = Requirement(text)
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in extras):
                other.marker = None
                if canonicalize_name(other.name) not in done:
                    todo.append(other)
        if name not in done:
            done.add(name)
            tops = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
            for top in tops:
                if not (folder / top).exists():
                    (folder / top).symlink_to(found.locate_file(top))


def test_predicting_needs_no_extra_and_the_rest_names_its_own(tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    base_environment(packages)
    # -S leaves out the packages of this environment.
    path = {"PYTHONPATH": f"{packages}:{ROOT}"}
    lines = run_python("-S", "-c", CODE, cwd=tmp_path, env=path).stdout.splitlines()
    tags, translation, datamodules, hub, recipe = lines
    assert tags == "[['PRON', 'VERB', 'PRON', 'NOUN', 'PUNCT']]"
    assert translation == "['Ein Mann schläft.']"
    assert datamodules.startswith("for training and scoring, install ") and datamodules.endswith("'lstm-zoo[train]'")
    assert recipe == f"error: {datamodules}"
    assert hub.endswith("pip install 'lstm-zoo[hub]'")


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_modules_of_an_extra_are_those_that_it_installs(extra):
    installed = {requirement.name for requirement in requirements(SETUP["options.extras_require"][extra])}
    assert {MODULES.get(name, name) for name in installed} == set(EXTRAS[extra][1])
    require_extra(extra)


def test_a_missing_module_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(EXTRAS, "train", ("training", ("json", "no_such_module")))
    with pytest.raises(ZooError, match=r"for training, install no_such_module: pip install 'lstm-zoo\[train\]'"):
        require_extra("train")
