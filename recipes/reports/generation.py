"""What the sequence-to-sequence recipes share: their report, the comparison of two models, and `predict`."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
from sacrebleu import CHRF
from sacrebleu.significance import PairedTest

from recipes.prediction.command import answer, computing, load_predictor, prediction_parser, source_of
from recipes.prediction.inputs import Item
from recipes.reports.figures import attention
from recipes.reports.json_text import json_text
from recipes.runner.flags import add_search_flags, changed_search
from recipes.runner.recipe import Recipe, Report
from zoo.errors import ZooError
from zoo.metrics.display import score_format
from zoo.metrics.generation import (
    SCORES,
    TextMetrics,
    Written,
    bleu_metric,
    composed,
    keywords,
    lead,
    length_ratio,
    novel_ngrams,
    repetition,
    rouge,
    rouge_by_text,
)
from zoo.models.options import SearchOptions
from zoo.models.seq2seq import Attended
from zoo.text.languages import is_unspaced

LINKS = ("codec",)
SAMPLES, PICTURES = 20, 3
LEADS = (3, 5, 8, 10, 15, 20, 30, 45)  # lengths that the lead baseline is tried with, on dev
RESAMPLINGS = 1000


@dataclass(frozen=True)
class WritingReport(Report):
    """What was written, how good it is, and what it is made of."""

    metrics: TextMetrics
    written: list[Written]
    scores: dict[str, dict[str, float]]  # of the model and, for summaries, of the first words of each source
    lead_length: int
    attended: list[Attended]

    @classmethod
    def of(cls, trainer: pl.Trainer, stage: str) -> WritingReport:
        """Of the last evaluation of `stage`; under DDP every process must ask."""
        model = trainer.lightning_module
        metrics = model.metrics[stage]
        written, language = metrics.written(), metrics.language
        sources, references, outputs = zip(*((*w.pair, w.output) for w in written), strict=True)
        scores, length = {"model": _described(metrics.metric, outputs, references, sources, language)}, 0
        if metrics.metric == "rouge":
            length = _best_lead(trainer.datamodule.pairs("dev"), language)
            leads = [lead(source, length, language) for source in sources]
            scores["lead"] = _described(metrics.metric, leads, references, sources, language)
        shown = [w for w in written if w.output][:PICTURES] if model.decoder.attention is not None else []
        return cls(metrics, written, scores, length, [model.attend(w.pair.source, w.output) for w in shown])

    def write(self, folder: Path) -> list[Path]:
        """Writes `scores.txt`, `samples.txt`, `outputs.jsonl` and pictures of attention into `folder`."""
        (folder / "scores.txt").write_text(self._table(), encoding="utf-8")
        (folder / "samples.txt").write_text("\n".join(map(self._sample, self.written[:SAMPLES])), encoding="utf-8")
        rows = ({**w.pair._asdict(), "output": w.output} for w in self.written)
        text = "".join(json_text(row) + "\n" for row in rows)
        (folder / "outputs.jsonl").write_text(text, encoding="utf-8")
        return [
            attention(one.weights, one.source, one.target, folder / f"attention-{number}.png")
            for number, one in enumerate(self.attended, 1)
        ]

    def _table(self) -> str:
        width = max(map(len, self.scores["model"])) + 2
        head = f"{'':<{width}}" + "".join(f"{name:>10}" for name in self.scores) + "\n"
        rows = []
        for name in self.scores["model"]:
            format = score_format(name)
            values = "".join(f"{format.number(scores[name]):>10}" for scores in self.scores.values())
            rows.append(f"{name:<{width}}{values}\n")
        notes = ""
        if self.lead_length:
            unit = "characters" if is_unspaced(self.metrics.language) else "words"
            notes = f"lead: the first {self.lead_length} {unit}, the best number of them on dev\n"
        if self.metrics.metric == "bleu":
            outputs = [composed(w.output) for w in self.written]
            references = [composed(w.pair.target) for w in self.written]
            for metric in (bleu_metric(self.metrics.language), CHRF()):
                notes += f"{metric.corpus_score(outputs, [references]).format()} {metric.get_signature()}\n"
        return head + "".join(rows) + "\n" + notes

    def _sample(self, written: Written) -> str:
        rows = {"source": written.pair.source, "reference": written.pair.target, "output": written.output}
        if self.lead_length:
            rows["lead"] = lead(written.pair.source, self.lead_length, self.metrics.language)
        return "".join(f"{name:<11}{' '.join(text.split())}\n" for name, text in rows.items())


def _described(
    metric: str, outputs: Sequence[str], references: Sequence[str], sources: Sequence[str], language: str
) -> dict[str, float]:
    """Scores of outputs, and what these are made of."""
    scores = SCORES[metric](outputs, references, language)
    if metric == "rouge":
        novel = {n: novel_ngrams(outputs, sources, language, n) for n in (1, 2, 3)}
        scores |= {f"copied {n}-grams": 1 - share for n, share in novel.items()}
        scores |= {f"novel {n}-grams": share for n, share in novel.items()}
    scores["repeated 2-grams"] = repetition(outputs, language)
    return scores | {"length ratio": length_ratio(outputs, references, language)}


def _best_lead(pairs: Sequence, language: str) -> int:
    def score(length: int) -> float:
        return rouge([lead(p.source, length, language) for p in pairs], [p.target for p in pairs], language)["rougeL"]

    return max(LEADS, key=score)


def compare(metrics: TextMetrics, others: TextMetrics) -> Mapping[str, object]:
    """The difference of two models on the same pairs, by paired bootstrap resampling (Koehn 2004).

    Returns:
        For each score the difference, and the share of resamplings in which it has not this sign.
    """
    ours, theirs = metrics.written(), others.written()
    references = [w.pair.target for w in ours]
    if [w.pair for w in ours] != [w.pair for w in theirs]:
        raise ZooError("two models can be compared on the same pairs alone: give them the same data")
    outputs = [[w.output for w in written] for written in (ours, theirs)]
    if metrics.metric == "bleu":
        model, other = ([composed(text) for text in side] for side in outputs)
        test = PairedTest(
            [("other", other), ("model", model)],
            {"bleu": bleu_metric(metrics.language), "chrf": CHRF()},
            [[composed(text) for text in references]],
            test_type="bs",
            n_samples=RESAMPLINGS,
        )
        _, found = test()
        results = [scores for key, scores in found.items() if key != "System"]
        return {
            name: {"difference": (model.score - other.score) / 100, "p": model.p_value}
            for name, (other, model) in zip(("bleu", "chrf"), results, strict=True)
        }
    dice = random.Random(0)
    draws = [dice.choices(range(len(ours)), k=len(ours)) for _ in range(RESAMPLINGS)]
    if metrics.metric == "keywords":
        by_draw = [
            keywords([outputs[0][i] for i in draw], [references[i] for i in draw], metrics.language)["keyword_f1"]
            - keywords([outputs[1][i] for i in draw], [references[i] for i in draw], metrics.language)["keyword_f1"]
            for draw in draws
        ]
        sides = [keywords(side, references, metrics.language)["keyword_f1"] for side in outputs]
        return {"keyword_f1": _difference(sides[0] - sides[1], by_draw)}
    one, two = (rouge_by_text(side, references, metrics.language) for side in outputs)
    differences = {name: [a - b for a, b in zip(one[name], two[name], strict=True)] for name in one}
    return {
        name: _difference(sum(values) / len(values), [sum(values[i] for i in draw) / len(values) for draw in draws])
        for name, values in differences.items()
    }


def _difference(difference: float, resampled: Sequence[float]) -> dict[str, float]:
    other_sign = sum(value * difference <= 0 for value in resampled)
    return {"difference": difference, "p": (other_sign + 1) / (len(resampled) + 1)}


PREDICT = """Writes an output for each text of a file, one a line, or of a table (CSV, TSV, JSON Lines, Parquet).
The outputs keep the order of the texts; those of a table stand beside its columns, in JSON Lines. An empty line stays
empty."""


def predict(recipe: Recipe, args: Sequence[str], pretrained: str) -> None:
    """The command `predict` of a model that writes text, with its arguments; `pretrained` is the default model."""
    parser = prediction_parser(recipe, PREDICT, pretrained, formats=("text", "jsonl"))
    add_search_flags(parser, SearchOptions)
    add = parser.add_argument
    add("--n_best", type=int | None, help="Outputs for each text, with their scores, in JSON Lines.")
    add("--sample", action="store_true", help="Draw outputs instead of searching for the best.")
    add("--temperature", type=float, default=1.0, help="With --sample: below 1, probable tokens are drawn more often.")
    add("--top_k", type=int, default=0, help="With --sample: draw from the k most probable tokens; 0 for all.")
    add("--top_p", type=float, default=1.0, help="With --sample: draw from the smallest set of this probability.")
    add("--seed", type=int, default=0, help="With --sample: the seed of the draws.")
    options = parser.parse_args(args)
    source = source_of(options)
    format = options.format or ("jsonl" if source.is_table else "text")
    if options.n_best is not None and format != "jsonl":
        raise ZooError("--n_best gives several outputs a line: add --format jsonl")
    if options.n_best is not None and options.sample:
        raise ZooError("--sample draws one output a line: leave --n_best out")
    model = load_predictor(options, recipe)
    model.search = changed_search(model.search, options)
    number = 0

    def outputs(texts: Sequence[str]) -> list[list]:
        nonlocal number
        if not options.sample:
            return model.predict(texts, n_best=options.n_best or 1)
        names = ("temperature", "top_k", "top_p")
        # Each chunk has a seed of its own, or the first lines of all would draw the same.
        seed = options.seed + 1_000_003 * number
        number += 1
        return [[o] for o in model.sample(texts, seed=seed, **{name: getattr(options, name) for name in names})]

    def written(chunk: Sequence[Item]) -> Iterator[str]:
        with computing(options, model):
            found = outputs([item.content for item in chunk])
        for item, best in zip(chunk, found, strict=True):
            if format == "text":
                yield best[0].text + "\n"
                continue
            result = {"output": best[0].text}
            if options.n_best is not None:
                result = {"outputs": [output._asdict() for output in best]}
            row = {"source": item.content, **result} if item.fields is None else item.beside(result)
            yield json_text(row) + "\n"

    answer(options, source, written, "texts")
