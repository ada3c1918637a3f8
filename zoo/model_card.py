"""Renders README.md of a model folder, which the Hugging Face hub shows: metadata in YAML, then a page for people.

The scores are in the `model-index` of the metadata. Files in `.eval_results/` would have to name benchmarks that are
registered on the hub, and these corpora are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from zoo.model_folder import README, ModelFolder, write_card

# Names of tasks on the hub, by class.
PIPELINE_TAGS = {
    "SequenceTagger": "token-classification",
    "TextClassifier": "text-classification",
    "Seq2Seq": "translation",
    "Seq2SeqSummarizer": "summarization",
    "LanguageModel": "text-generation",
}
# The licences that the hub knows by these identifiers, as far as corpora have them.
LICENCES = ("apache-2.0", "cc0-1.0", "mit", "unknown")
CREATIVE_COMMONS = re.compile(r"cc-by(-nc)?(-sa|-nd)?-[234]\.[05]")
# Sections of prose, by title.
PROSE = {
    "What it is for": "intended_use",
    "What it is not for": "not_for",
    "Known weaknesses": "weaknesses",
}
# The fields of a card that describe the files, so only who writes the files sets them.
OF_THE_FILES = ("sha256", "parameters", "dtype", "bytes")
# Scores that are no fractions, so they are not shown in per cent.
NO_FRACTIONS = ("loss", "perplexity", "bits_per_character")


def model_card(card: Mapping[str, Any], model_class: str) -> str:
    """Returns the text of README.md.

    Args:
        card: the content of `card.json`. One that was written by `save_pretrained` says little.
        model_class: the name of the class of the model.
    """
    name = card.get("name", "MODEL")
    text = yaml.safe_dump(_metadata(card, model_class), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{text}---\n", f"# {name}\n", f"A `{model_class}` of lstm-zoo, a recurrent network.\n"]
    for title, key in PROSE.items():
        if card.get(key):
            parts.append(f"## {title}\n\n{card[key]}\n")
    foreign = card.get("out_of_domain", [])
    parts += [f"On {other['data']}: {_listed(other['scores'])}.\n" for other in foreign]
    parts.append(f"## Use\n\n```python\n{_use(name, card)}\n```\n")
    facts = _facts(card)
    if facts:
        parts.append("\n".join(["## Facts", "", *(f"- {key}: {value}" for key, value in facts.items()), ""]))
    scores = card.get("best_dev", {}) | card.get("scores", {})
    if scores:
        head = ["## Scores", "", "In per cent, except losses and perplexities.", "", "| score | value |", "|---|---:|"]
        rows = [f"| {score} | {_shown(score, value):g} |" for score, value in scores.items()]
        parts.append("\n".join([*head, *rows, ""]))
    return "\n".join(parts)


def _use(name: str, card: Mapping[str, Any]) -> str:
    """Lines of Python that load the model and, if the card has an example, predict; the output is a comment."""
    lines = ["import zoo", "", f'model = zoo.from_pretrained("{name}")']
    if "example" in card:
        answer = 'answer["label"]' if card.get("task") == "classification" else "answer"
        # A long text has a line of its own.
        lines.append(f"text = {json.dumps(card['example']['input'], ensure_ascii=False)}")
        lines.append("(answer,) = model.predict([text])")
        lines += [f"print({answer})", f"# {card['example']['output']}"]
    return "\n".join(lines)


def _facts(card: Mapping[str, Any]) -> dict[str, Any]:
    """The facts on size, speed, data and training that a card has, as they are shown."""
    facts: dict[str, Any] = {}
    if "parameters" in card:
        facts["parameters"] = f"{card['parameters']:,}, stored as {card['dtype']}"
    if "bytes" in card:
        facts["size of the weights"] = f"{card['bytes'] / 1e6:.1f} MB"
    if "conversion" in card:
        equal = 100 * card["conversion"]["same_answers"]
        scores = {
            name: (value, card["conversion"]["after"][name]) for name, value in card["conversion"]["before"].items()
        }
        changes = ", ".join(f"{name} {_shown(name, a):g} to {_shown(name, b):g}" for name, (a, b) in scores.items())
        facts["cost of fewer bits on dev"] = f"{equal:.2f} % of the answers are the same; {changes}"
    if "speed" in card:
        speed = card["speed"]
        facts["speed"] = (
            f"{speed['per_second']:,} {speed['unit']} per second on {speed['threads']} threads of {speed['hardware']}"
        )
    if "data" in card:
        facts["data"] = f"{card['data'].get('dataset')} ({card.get('source')})"
    if "splits" in card:
        facts["rows"] = ", ".join(f"{split} {rows:,}" for split, rows in card["splits"].items())
    for title, key in (("licence of the data", "licence"), ("commit", "commit"), ("seed", "seed")):
        if key in card:
            facts[title] = card[key]
    if "command" in card:
        facts["command"] = f"`{card['command']}`"
    if "hardware" in card:
        facts["training"] = f"{card['minutes']} minutes on {card['hardware']}"
    if "versions" in card:
        facts["versions"] = ", ".join(f"{package} {version}" for package, version in card["versions"].items())
    return facts


def _listed(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_shown(name, value):g}" for name, value in scores.items())


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
        metadata["model-index"] = [{"name": card.get("name", "MODEL"), "results": [_results(card, tag or "other")]}]
    return metadata


def publish_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Gives a model folder a card and a README of it. The sums, and the facts on the weights, stay as they are.

    Args:
        folder: a folder that `save_pretrained` wrote.
        card: the other fields of the card.

    Raises:
        ZooError: the card has an unknown field, or one of another type.
    """
    model_folder = ModelFolder(folder)
    model_class, _ = model_folder.config()
    own = {name: model_folder.card[name] for name in OF_THE_FILES if name in model_folder.card}
    whole = {**card, **own}
    write_card(folder, whole)
    (folder / README).write_text(model_card(whole, model_class), encoding="utf-8")


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
