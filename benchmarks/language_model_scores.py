"""Trains language models and what starts from them, one command after the other.

    ZOO_DATA=... python benchmarks/language_model_scores.py ptb
    ZOO_DATA=... python benchmarks/language_model_scores.py imdb-forward imdb-backward imdb trec ewt conll03

Each step is a recipe, whose run is in `--runs` under the name of the step. A step that is finished is skipped, and one
that was interrupted is resumed, so that the same command may be given again. The steps after the language models of
IMDB need both of them. `--dry-run` prints the commands alone.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

# Both language models read pieces, with their case, so that all later steps can use them.
IMDB_TEXTS = (
    "language_modeling --data.dataset imdb-text --data.tokenizer sentencepiece --data.vocabulary_size 8000 "
    "--data.streams 40 --data.window 70 --model.hidden_size 512 --model.embedding_size 400 --model.dropout 0.2 "
    "--trainer.max_epochs 3 --trainer.gradient_clip_val 1"
)
FINE_TUNED = (
    "--model.init_from [{imdb-forward},{imdb-backward}] --model.pooling last+mean+max --fine_tuning.layer_decay 0.4 "
    "--trainer.gradient_clip_val 1"
)
FEATURES = "--model.language_models [{imdb-forward},{imdb-backward}]"
STEPS = {
    "ptb": (
        "language_modeling --data.dataset ptb --data.streams 40 --data.window 70 --model.hidden_size 650 "
        "--model.embedding_size 650 --model.dropout 0.5 --model.recurrent.weight_drop 0.2 "
        "--model.optimizer.weight_decay 0.05 --trainer.max_epochs 26 --trainer.gradient_clip_val 1"
    ),
    "imdb-forward": IMDB_TEXTS,
    "imdb-backward": f"{IMDB_TEXTS} --data.backward true",
    "imdb": f"sentiment --data.dataset imdb {FINE_TUNED} --trainer.max_epochs 3",
    "imdb-from-scratch": "sentiment --data.dataset imdb --trainer.max_epochs 6",
    "trec": f"topic --data.dataset trec {FINE_TUNED} --trainer.max_epochs 20",
    "ewt": f"pos_tagging --data.dataset ud-en-ewt {FEATURES}",
    "conll03": f"ner --data.dataset conll03-en --data.convert_to BIOES {FEATURES}",
}


def command_of(step: str, runs: Path, *, resume: bool) -> list[str]:
    """The command of a step."""
    recipe, *flags = STEPS[step].split()
    places = {name: str(runs / name) for name in STEPS}
    for name, place in places.items():
        flags = [flag.replace(f"{{{name}}}", place) for flag in flags]
    if resume:
        flags = ["--resume"]
    return [sys.executable, "-m", f"recipes.{recipe}", *flags, "--out", places[step]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", default=list(STEPS), metavar="STEP", help=f"one of {', '.join(STEPS)}")
    parser.add_argument("--runs", type=Path, default=Path("runs/language-models"))
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    unknown = [step for step in options.steps if step not in STEPS]
    if unknown:
        parser.error(f"unknown step {unknown[0]}: known are {', '.join(STEPS)}")
    for step in options.steps:
        folder = options.runs / step
        scored = folder / "metrics.json"
        resume = (folder / "checkpoints" / "last.ckpt").is_file()
        command = command_of(step, options.runs, resume=resume)
        if options.dry_run:
            print(shlex.join(command))
            continue
        if not scored.is_file():
            print(shlex.join(command), file=sys.stderr, flush=True)
            subprocess.run(command, check=True)
        facts = json.loads(scored.read_text("utf-8"))
        minutes = facts["train_seconds"] / 60
        print(f"{step}: {json.dumps(facts['scores'])} in {minutes:.0f} minutes on {facts['hardware']}", flush=True)


if __name__ == "__main__":
    main()
