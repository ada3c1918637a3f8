"""Renders the README of a model folder, which the Hugging Face hub shows: metadata in YAML, then a page for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

# Names of tasks on the hub, by class.
PIPELINE_TAGS = {
    "SequenceTagger": "token-classification",
    "TextClassifier": "text-classification",
    "Seq2Seq": "translation",
    "Seq2SeqSummarizer": "summarization",
}
# The licences that the hub knows by these identifiers, as far as corpora have them.
LICENCES = ("apache-2.0", "cc0-1.0", "mit", "unknown")
CREATIVE_COMMONS = re.compile(r"cc-by(-nc)?(-sa|-nd)?-[234]\.[05]")
# Scores that are no fractions, so they are not shown in per cent.
NO_FRACTIONS = ("loss", "perplexity")


def model_card(card: Mapping[str, Any], model_class: str, example: str = "") -> str:
    """Returns the text of README.md.

    Args:
        card: the content of `card.json`. One that was written by `save_pretrained` has sums alone.
        model_class: the name of the class of the model.
        example: lines of Python that predict, and their output as comments.
    """
    name = card.get("name", "MODEL")
    text = yaml.safe_dump(_metadata(card, model_class), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{text}---\n", f"# {name}\n", f"A `{model_class}` of lstm-zoo, a recurrent network.\n"]
    for title, key in (("What it is for", "intended_use"), ("Known weaknesses", "weaknesses")):
        if card.get(key):
            parts.append(f"## {title}\n\n{card[key]}\n")
    use = example or f'import zoo\n\nmodel = zoo.from_pretrained("{name}")'
    parts.append(f"## Use\n\n```python\n{use}\n```\n")
    if "data" in card:
        parts.append(_training(card))
    if "scores" in card:
        scores = card["best_dev"] | card["scores"]
        rows = [f"| {name} | {_shown(name, value):g} |" for name, value in scores.items()]
        parts.append(
            "\n".join(
                [
                    "## Scores",
                    "",
                    "In per cent, except losses and perplexities.",
                    "",
                    "| score | value |",
                    "|---|---:|",
                    *rows,
                    "",
                ]
            )
        )
    return "\n".join(parts)


def _training(card: Mapping[str, Any]) -> str:
    """The section on the data and the training."""
    facts = {
        "data": f"{card['data']['dataset']} ({card['source']})",
        "licence of the data": card["licence"],
        "command": f"`{card['command']}`",
        "commit": card["commit"],
        "seed": card["seed"],
        "hardware": f"{card['hardware']}, {card['minutes']} minutes",
        "versions": ", ".join(f"{package} {version}" for package, version in card["versions"].items()),
    }
    lines = [f"- {key}: {value}" for key, value in facts.items()]
    return "\n".join(["## Training", "", *lines, ""])


def _metadata(card: Mapping[str, Any], model_class: str) -> dict[str, Any]:
    """The metadata that the hub reads."""
    metadata: dict[str, Any] = {"library_name": "lstm-zoo", "tags": ["lstm-zoo", "pytorch-lightning", "rnn"]}
    tag = PIPELINE_TAGS.get(model_class)
    if tag is not None:
        metadata["pipeline_tag"] = tag
    if "language" in card:
        metadata["language"] = card["language"]
    if "licence" in card:
        metadata |= licence_of(card["licence"])
    if "data" in card and "scores" in card:
        metadata["datasets"] = [card["data"]["dataset"]]
        metadata["model-index"] = [{"name": card["name"], "results": [_results(card, tag or "other")]}]
    return metadata


def licence_of(name: str) -> dict[str, str]:
    """The licence as the hub spells it; one that it does not know is "other" with its own name.

    >>> licence_of("CC BY-SA 4.0")
    {'license': 'cc-by-sa-4.0'}
    """
    identifier = name.lower().replace(" ", "-")
    if identifier in LICENCES or CREATIVE_COMMONS.fullmatch(identifier):
        return {"license": identifier}
    return {"license": "other", "license_name": name}


def _results(card: Mapping[str, Any], tag: str) -> dict[str, Any]:
    """The scores on test as a result of the model index, in per cent."""
    dataset = card["data"]["dataset"]
    scores = {name: value for name, value in card["scores"].items() if name.startswith("test/")}
    return {
        "task": {"type": tag},
        "dataset": {"name": dataset, "type": dataset, "split": "test"},
        "metrics": [
            {"type": name.removeprefix("test/"), "value": _shown(name, value)} for name, value in scores.items()
        ],
    }


def _shown(name: str, score: float) -> float:
    """A score in per cent with two decimals; one that is no fraction as it is."""
    return round(score if name.endswith(NO_FRACTIONS) else 100 * score, 2)
