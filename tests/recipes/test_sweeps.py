"""The sweep files of W&B: an agent's command lines are ones that the recipes take."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from command_line import ROOT, run
from small_runs import SMALL
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args
from wandb_files import logged_in

from recipes.__main__ import known_recipes

SWEEPS = ROOT / "docs/sweeps"


def sweep(recipe: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((SWEEPS / f"{recipe}.yaml").read_text("utf-8"))
    return content


def choices(parameter: Mapping[str, Any]) -> list[object]:
    """The values of a parameter that a sweep may choose; of a range, its ends."""
    if "value" in parameter:
        return [parameter["value"]]
    return list(parameter["values"]) if "values" in parameter else [parameter["min"], parameter["max"]]


def agent_arguments(content: Mapping[str, Any], chosen: Mapping[str, object]) -> list[str]:
    """What an agent types behind `python`."""
    command = create_sweep_command([word for word in content["command"] if word != "${args}"])
    assert content["command"][-1] == "${args}" and command[:2] == ["${env}", "python"]
    return [
        *command[2:],
        *create_sweep_command_args({"args": {name: {"value": chosen[name]} for name in chosen}})["args"],
    ]


def runs(content: Mapping[str, Any]) -> Iterator[dict[str, object]]:
    """Settings such that each value of each parameter is in one of them."""
    parameters = content["parameters"]
    columns = [choices(parameter) for parameter in parameters.values()]
    for values in itertools.zip_longest(*columns):
        yield {
            name: column[0] if value is None else value
            for name, column, value in zip(parameters, columns, values, strict=True)
        }


def test_each_recipe_has_a_sweep():
    assert {path.stem for path in SWEEPS.glob("*.yaml")} == set(known_recipes())


@pytest.mark.parametrize("recipe", known_recipes())
def test_a_recipe_takes_the_arguments_of_an_agent(recipe, tmp_path):
    content = sweep(recipe)
    assert content["program"] == f"recipes/{recipe}.py" and (ROOT / content["program"]).is_file()
    for chosen in runs(content):
        dash_m, module, *arguments = agent_arguments(content, chosen)
        assert (dash_m, module) == ("-m", f"recipes.{recipe}")
        settings = yaml.safe_load(run(recipe, *arguments, "--print_config", cwd=tmp_path).stdout)
        for name, value in chosen.items():
            found = settings
            for part in name.split("."):
                found = found[part]
            assert found == value, name


def test_a_run_of_a_sweep_has_its_metric_parameters_and_pictures(tmp_path):
    content = sweep("spam")
    chosen = next(runs(content)) | {"trainer.max_epochs": 1, "model.hidden_size": 8, "data.vocabulary_size": 200}
    _, _, *arguments = agent_arguments(content, chosen)
    few = [*SMALL[-2:], "--trainer.limit_train_batches=2"]
    run("spam", *arguments, *few, "--wandb=offline", "--out=run", cwd=tmp_path)
    wandb.teardown()
    logged = logged_in(tmp_path / "run")
    pictures = {path.stem for path in (tmp_path / "run").glob("*.png")}
    assert {f"{name}.path" for name in pictures} <= set(logged.summary) and "reliability" in pictures
    assert {name: logged.config[name] for name in chosen} == chosen
    facts = json.loads((tmp_path / "run/metrics.json").read_text())
    assert logged.summary[content["metric"]["name"]] == pytest.approx(facts["best_dev"][content["metric"]["name"]])


@pytest.mark.parametrize(
    "recipe, run_of_it", [("pos_tagging", "trained"), ("sentiment", "classified")], ids=["tagger", "classifier"]
)
def test_the_metric_is_that_which_chooses_the_checkpoint(recipe, run_of_it, request):
    folder: Path = request.getfixturevalue(run_of_it)
    facts = json.loads((folder / "metrics.json").read_text())
    assert list(facts["best_dev"]) == [sweep(recipe)["metric"]["name"]]
