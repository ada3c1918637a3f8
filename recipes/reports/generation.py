"""The report and the command `predict` of the sequence-to-sequence recipes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import Namespace
from sacrebleu import CHRF

from datamodules.seq2seq import Seq2SeqDataModule
from recipes.baselines.baseline import Baseline
from recipes.baselines.writing import best_lead
from recipes.prediction.command import answer, computing, load_predictor, prediction_parser, source_of
from recipes.prediction.explanations import (
    add_explain_flag,
    explained_format,
    fields_of,
    page_header,
    paragraph,
    word_explanations,
)
from recipes.prediction.inputs import Item
from recipes.reports.examples import ScoredExample
from recipes.reports.figures import attention
from recipes.reports.json_text import json_text
from recipes.runner.recipe import Recipe, Report, instance
from recipes.runner.search_flags import add_search_flags, changed_search
from zoo.batches.predictions import Attended
from zoo.errors import ZooError
from zoo.metrics.display import score_format
from zoo.metrics.generation import (
    SCORES,
    TextMetrics,
    Written,
    bleu_metric,
    composed,
    lead,
    length_ratio,
    novel_ngrams,
    repetition,
)
from zoo.models.options import SearchOptions
from zoo.models.outcomes import Outcome
from zoo.models.seq2seq import Seq2Seq
from zoo.text.languages import is_unspaced
from zoo.text.units import Output, WrittenUnit

LINKS = ("codec",)
SAMPLES, PICTURES = 20, 3
# The scores of the lead baseline; other numbers describe it.
LEAD_SCORES = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True)
class WritingReport(Report):
    """The outputs, their scores, and statistics of repeated and copied n-grams."""

    metrics: TextMetrics
    written: list[Written]
    scores: dict[str, dict[str, float]]
    """Of the "model" and, for summaries, of the "lead": the first words of each source."""
    lead_length: int
    """Words, or characters of an unspaced language, of the lead baseline; 0 if there is none."""
    attended: list[Attended]
    outcomes: dict[int, Outcome]
    """By row."""

    @classmethod
    def of(cls, model: Seq2Seq, data: Seq2SeqDataModule, stage: str) -> WritingReport:
        """Reports the last evaluation of `stage`; under DDP it must be called on every process."""
        metrics = instance(model.metrics[stage], TextMetrics)
        language = metrics.language
        written = metrics.written()
        sources = [w.pair.source for w in written]
        references = [w.pair.target for w in written]
        outputs = [w.output for w in written]
        scores = {"model": _described(metrics.metric, outputs, references, sources=sources, language=language)}
        lead_length = 0
        if metrics.metric == "rouge":
            lead_length = best_lead(data.pairs("dev"), language)
            leads = [lead(source, lead_length, language) for source in sources]
            scores["lead"] = _described(metrics.metric, leads, references, sources=sources, language=language)
        attended = []
        if model.decoder.attention is not None:
            shown = [w for w in written if w.output][:PICTURES]
            attended = [model.attend(w.pair.source, w.output) for w in shown]
        return cls(
            metrics,
            written,
            scores=scores,
            lead_length=lead_length,
            attended=attended,
            outcomes={} if model.outcomes is None else model.outcomes.gathered(),
        )

    def task(self) -> dict[str, object]:
        return {"kind": "generation", "metric": self.metrics.metric, "language": self.metrics.language}

    def attention(self) -> list[Attended]:
        return self.attended

    def baselines(self, stage: str) -> list[Baseline]:
        if "lead" not in self.scores:
            return []
        scores = {name: self.scores["lead"][name] for name in LEAD_SCORES}
        return [Baseline.of("lead", stage, scores, f"first {self.lead_length}")]

    def examples(self) -> Iterator[ScoredExample]:
        for w in self.written:
            outcome = self.outcomes[w.row]
            loss = outcome.loss / outcome.tokens
            yield ScoredExample(w.row, *w.pair, w.output, loss=loss, tokens=outcome.tokens)

    def write(self, folder: Path) -> list[Path]:
        """Writes `scores.txt`, `samples.txt` and pictures of attention into `folder`."""
        (folder / "scores.txt").write_text(self._table(), encoding="utf-8")
        (folder / "samples.txt").write_text("\n".join(map(self._sample, self.written[:SAMPLES])), encoding="utf-8")
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
            notes = f"lead: the first {self.lead_length} {unit}, the number that is best on dev\n"
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
    metric: str, outputs: Sequence[str], references: Sequence[str], *, sources: Sequence[str], language: str
) -> dict[str, float]:
    """Scores of the outputs, and statistics of repeated and copied n-grams."""
    scores = dict(SCORES[metric](outputs, references, language))
    if metric == "rouge":
        novel = {n: novel_ngrams(outputs, sources, language, n) for n in (1, 2, 3)}
        scores |= {f"copied {n}-grams": 1 - share for n, share in novel.items()}
        scores |= {f"novel {n}-grams": share for n, share in novel.items()}
    scores["repeated 2-grams"] = repetition(outputs, language)
    return scores | {"length ratio": length_ratio(outputs, references, language)}


PREDICT = """Writes an output for each text of a file with one text per line, or of a table (CSV, JSON, Excel,
...). The outputs are in the order of the texts. Outputs for a table also have its columns, in JSON Lines. The
output for an empty line is empty."""


def predict(recipe: Recipe, args: Sequence[str], pretrained: str) -> None:
    """Runs the command `predict` of a model that writes text. `pretrained` is the default model."""
    parser = prediction_parser(recipe, PREDICT, pretrained, formats=("text", "jsonl", "html"))
    add_search_flags(parser, SearchOptions)
    add = parser.add_argument
    add("--n_best", type=int | None, help="The number of outputs for each text, with scores (JSON Lines).")
    add("--sample", action="store_true", help="Draw random outputs instead of searching for the best ones.")
    add("--temperature", type=float, default=1.0, help="With --sample: below 1, probable tokens are drawn more often.")
    add("--top_k", type=int, default=0, help="With --sample: draw from the k most probable tokens; 0 for all.")
    add("--top_p", type=float, default=1.0, help="With --sample: draw from the smallest set of this probability.")
    add("--seed", type=int, default=0, help="With --sample: the seed of the draws.")
    offsets_help = "Write the output for each sentence that the model reads, with its place in the text, to JSON Lines."
    add("--offsets", action="store_true", help=offsets_help)
    add_explain_flag(parser)
    options = parser.parse_args(args)
    source = source_of(options)
    format = _format(options, usual="jsonl" if source.is_table or options.offsets else "text")
    model = load_predictor(options, recipe, Seq2Seq)
    model.search = changed_search(model.search, options)
    number = 0

    def outputs(texts: Sequence[str]) -> Sequence[Sequence[Output | WrittenUnit]]:
        nonlocal number
        if options.offsets:
            return model.predict(texts, return_offsets=True)
        if not options.sample:
            return model.predict(texts, n_best=options.n_best or 1)
        # Each chunk has a seed of its own, or the first lines of all chunks would draw the same.
        seed = options.seed + 1_000_003 * number
        number += 1
        drawn = model.sample(
            texts, temperature=options.temperature, top_k=options.top_k, top_p=options.top_p, seed=seed
        )
        return [[output] for output in drawn]

    def written(chunk: Sequence[Item]) -> Iterator[str]:
        with computing(options, model):
            found = outputs([item.text for item in chunk])
        for item, best in zip(chunk, found, strict=True):
            if format == "text":
                yield best[0].text + "\n"
                continue
            if options.n_best is not None or options.offsets:
                result: dict[str, object] = {"outputs": [output._asdict() for output in best]}
            else:
                result = {"output": best[0].text}
            if options.explain:
                explanations = word_explanations(model, item.text, best[0].text, options.explain)
                if format == "html":
                    yield paragraph(explanations)
                    continue
                result["explanations"] = list(map(fields_of, explanations))
            row = {"source": item.text, **result} if item.fields is None else item.beside(result)
            yield json_text(row) + "\n"

    answer(options, source, written, "texts", header=page_header(options) if format == "html" else "")


def _format(options: Namespace, usual: str) -> str:
    """The format of the output.

    Raises:
        ZooError: some flags contradict each other.
    """
    format = explained_format(options, usual)
    draws_or_lists = options.sample or options.n_best is not None
    if options.offsets and format != "jsonl":
        raise ZooError(f"--offsets are written to JSON Lines alone: leave out --format {format}, or --offsets")
    if options.offsets and draws_or_lists:
        raise ZooError("--offsets are those of the best outputs: leave out --sample and --n_best, or --offsets")
    if options.explain and (options.offsets or draws_or_lists):
        raise ZooError("--explain explains the best output of a text: leave --sample, --n_best and --offsets out")
    if options.n_best is not None and format != "jsonl":
        raise ZooError("--n_best gives several outputs a line: add --format jsonl")
    if options.n_best is not None and options.sample:
        raise ZooError("--sample draws one output a line: leave --n_best out")
    return format
