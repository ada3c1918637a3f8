"""`convert` stores a model in fewer bits and tells what that costs; `verify` compares scores with those of the card."""

from __future__ import annotations

import json

import pytest
import torch
from command_line import run, settings_kept

import zoo
from recipes import spam
from recipes.runner.evaluation import scored
from recipes.runner.verification import recipe_of
from zoo.__main__ import answer
from zoo.errors import ZooError
from zoo.hub.sources import BUNDLED
from zoo.model_card import publish_card

FLAGS = ["--trainer.accelerator=cpu", "--trainer.precision=32-true"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The bundled model of spam, with the card of one that was trained on the sample."""
    folder = zoo.from_pretrained("spam-en-sms").save_pretrained(tmp_path_factory.mktemp("models") / "spam")
    card = {"command": "python -m recipes.spam", "data": {"dataset": "sample-spam", "label_column": "0"}}
    with settings_kept():
        scores = scored(spam.RECIPE, ["--model", str(folder), "--data.dataset=sample-spam", *FLAGS], "test")
    publish_card(folder, {**card, "scores": {**scores, "val/f1": 0.0}})
    return folder


def test_a_converted_model_is_smaller_and_its_card_tells_the_cost(folder, tmp_path):
    out = tmp_path / "small"
    done = run("spam", "convert", "--model", folder, "--out", out, *FLAGS, cwd=tmp_path)
    cost = json.loads(done.stdout)
    card = zoo.card(out)
    assert card["conversion"] == cost and card["dtype"] == "int8"
    assert card["data"] == zoo.card(folder)["data"] and "scores" not in card
    assert cost["before"].keys() == cost["after"].keys() and cost["same_answers"] > 0.95
    assert card["bytes"] < 0.3 * zoo.card(folder)["bytes"]
    assert "spam on dev" in done.stderr and "small (int8) on dev" in done.stderr
    page = (out / "README.md").read_text()
    assert "# small\n" in page and f"{100 * cost['same_answers']:.2f} % of the answers are the same" in page
    before, after = (zoo.from_pretrained(source).state_dict() for source in (folder, out))
    assert not torch.equal(before["embedding.words.weight"], after["embedding.words.weight"])


def test_a_folder_that_exists_is_not_replaced(folder, tmp_path):
    done = run("spam", "convert", "--model", folder, "--out", tmp_path, *FLAGS, cwd=tmp_path, fails=True)
    assert done.stderr == f"error: --out {tmp_path} exists: name a new folder, or remove this one\n"


def test_scores_are_compared_with_those_of_the_card(folder, capsys):
    with settings_kept():
        *_, line, summary = answer(["verify", str(folder)]).splitlines()
    assert line.startswith(f"{folder}: ") and summary == "all scores are those of the cards to 0.01"
    assert "all files have the sums" in capsys.readouterr().err
    card = zoo.card(folder)
    wrong = {**card["scores"], "test/accuracy": card["scores"]["test/accuracy"] - 2e-4}
    publish_card(folder, {**card, "scores": wrong})
    with settings_kept(), pytest.raises(ZooError, match=r"spam differs from its card in test/accuracy$"):
        answer(["verify", str(folder)])
    publish_card(folder, card)


def test_a_card_without_scores_or_with_the_command_of_another_program_is_explained(folder, tmp_path):
    bare = zoo.from_pretrained(folder).save_pretrained(tmp_path / "bare")
    with settings_kept():
        assert "bare: its card has no scores on test" in answer(["verify", str(bare)])
    for command in ("python -m recipes.runner.cli", "python train.py", "python -m recipes.no_such"):
        with pytest.raises(ZooError, match="bare: expected a card with the command of a recipe, got 'python"):
            recipe_of("bare", {"command": command})


def test_damaged_files_are_noticed_before_anything_is_scored(folder, tmp_path):
    bare = zoo.from_pretrained(folder).save_pretrained(tmp_path / "bare")
    (bare / "codec.json").write_text("{}")
    with pytest.raises(ZooError, match="codec.json: its card expects sha256"):
        answer(["verify", str(bare)])


@pytest.mark.parametrize("name", zoo.list_pretrained())
def test_every_bundled_model_has_a_recipe_that_scores_it(name):
    model = json.loads((BUNDLED / name / "config.json").read_text())["class"]
    assert recipe_of(name, zoo.card(name)).model.__name__ == model
