"""The report and the commands `predict` and `generate` of language modeling."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from jsonargparse import Namespace

from datamodules.language_modeling import LanguageModelingDataModule
from recipes.prediction.command import answer, computing, load_predictor, model_parser, prediction_parser, source_of
from recipes.prediction.inputs import Item
from recipes.reports.examples import SPLITS, ScoredExample
from recipes.reports.json_text import json_text
from recipes.runner.recipe import Recipe, Report
from zoo.errors import ZooError
from zoo.models.language_model import LanguageModel

# The number of texts that the model writes, and the tokens of each.
SAMPLES, LENGTH = 20, 60
# Only the first texts of the split are scored one by one.
SCORED = 2000
# Of each of these texts, so many tokens are named.
SURPRISES = 5


@dataclass(frozen=True)
class LanguageModelingReport(Report):
    """Texts that the model writes, and how much the first texts of the split surprise it, each read by itself."""

    model: LanguageModel
    data: LanguageModelingDataModule
    split: str

    @classmethod
    def of(cls, model: LanguageModel, data: LanguageModelingDataModule, stage: str) -> LanguageModelingReport:
        """Reports the last evaluation of `stage`."""
        return cls(model, data, SPLITS[stage])

    def write(self, folder: Path) -> list[Path]:
        """Writes `samples.txt` into `folder`."""
        samples = self.model.generate([""] * SAMPLES, max_length=LENGTH)
        (folder / "samples.txt").write_text("".join(f"{text}\n" for text in samples), encoding="utf-8")
        return []

    def task(self) -> dict[str, object]:
        return {"kind": "language_modeling"}

    def examples(self) -> Iterator[ScoredExample]:
        texts = list(islice(self.data.examples(self.split), SCORED))
        for row, (text, score) in enumerate(zip(texts, self.model.score(texts), strict=True)):
            tokens = sorted(zip(score.log_probabilities, score.tokens, strict=True))[:SURPRISES]
            yield ScoredExample(
                row,
                source=text,
                gold=None,
                predicted=None,
                loss=-score.total / len(score.tokens),
                tokens=len(score.tokens),
                details={"surprises": [[token, -log_probability] for log_probability, token in tokens]},
            )


PREDICT = """Scores each text of a file with one text per line, or of a table (CSV, JSON, Excel, ...): the
log-probability of the text, in nats, and of each of its tokens. Each text is read by itself. The scores are in the
order of the texts, as JSON Lines."""


def predict(recipe: Recipe, args: Sequence[str]) -> None:
    """Runs the command `predict`."""
    parser = prediction_parser(recipe, PREDICT, None, formats=("jsonl", "tsv"))
    options = parser.parse_args(args)
    source = source_of(options)
    model = load_predictor(options, recipe, LanguageModel)

    def written(chunk: Sequence[Item]) -> Iterator[str]:
        with computing(options, model):
            scores = model.score([item.text for item in chunk])
        for item, score in zip(chunk, scores, strict=True):
            if options.format == "tsv":
                yield f"{score.total:.4f}\t{' '.join(item.text.split())}\n"
                continue
            found = {"log_probability": score.total, **score._asdict()}
            yield json_text({"text": item.text, **found} if item.fields is None else item.beside(found)) + "\n"

    answer(options, source, written, "texts")


GENERATE = """Continues each prompt, or writes new texts without one. The text is shown as it is written."""


def generate(recipe: Recipe, args: Sequence[str]) -> None:
    """Runs the command `generate`."""
    parser = model_parser(recipe, "generate", GENERATE, None)
    add = parser.add_argument
    add("prompts", nargs="*", type=str, default=[""], help="The beginnings of texts; none to begin a new text.")
    add("--number", type=int, default=1, help="The number of texts for each prompt.")
    add("--max_length", type=int, default=100, help="The largest number of tokens of a text, without the prompt.")
    add("--temperature", type=float, default=1.0, help="Below 1, probable tokens are drawn more often.")
    add("--top_k", type=int, default=0, help="Draw from the k most probable tokens; 1 is greedy, 0 draws from all.")
    add("--top_p", type=float, default=1.0, help="Draw from the smallest set of tokens with this probability.")
    add("--beam", type=int, default=0, help="The hypotheses of a beam search, instead of random draws.")
    add("--seed", type=int, default=0, help="The seed of the draws.")
    add("--stop", type=str, default="", help="A string before which a text ends as well.")
    options = parser.parse_args(args)
    if options.number < 1:
        raise ZooError(f"expected a --number of at least 1, got {options.number}")
    model = load_predictor(options, recipe, LanguageModel)
    with computing(options, model):
        for prompt in options.prompts:
            for number in range(options.number):
                _write(model, prompt, options.seed + number, options)


def _write(model: LanguageModel, prompt: str, seed: int, options: Namespace) -> None:
    """Writes one continuation of a prompt to standard output."""
    drawing = {name: options[name] for name in ("max_length", "temperature", "top_k", "top_p", "stop")}
    if options.beam or model.codec.backward:
        print(*model.generate([prompt], beam=options.beam, seed=seed, **drawing))
        return
    for part in model.stream(prompt, seed=seed, **drawing):
        sys.stdout.write(part)
        sys.stdout.flush()
    print()
