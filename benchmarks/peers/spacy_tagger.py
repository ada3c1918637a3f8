"""The worker that trains and times spaCy's tok2vec tagger, for `tagging_peers.py` and `inference_peers.py`.

All settings are those of `spacy init config --pipeline tagger --optimize efficiency`. The training loop is spaCy's own,
and the model is the best one on dev. The time to make `Doc` objects, in which spaCy computes the prefix, suffix and
shape of each new word, is not counted; this favours spaCy. It computes in one thread.
"""

from __future__ import annotations

from time import perf_counter

import spacy
from spacy.cli.init_config import init_config
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.loop import create_train_batches, train_while_improving
from spacy.util import fix_random_seed, load_model_from_config, registry
from turns import Message, Pace, Turns

TaggedSentences = list[tuple[list[str], list[str]]]


def make_docs(nlp: Language, sentences: TaggedSentences) -> list[Doc]:
    return [Doc(nlp.vocab, words=tokens) for tokens, _ in sentences]


def make_examples(nlp: Language, sentences: TaggedSentences) -> list[Example]:
    docs = make_docs(nlp, sentences)
    return [Example.from_dict(doc, {"tags": tags}) for doc, (_, tags) in zip(docs, sentences, strict=True)]


def accuracy(nlp: Language, sentences: TaggedSentences) -> float:
    docs = nlp.pipe(make_docs(nlp, sentences))
    found = [token.tag_ for doc in docs for token in doc]
    gold = [tag for _, tags in sentences for tag in tags]
    return sum(a == b for a, b in zip(found, gold, strict=True)) / len(gold)


def train(turns: Turns, nlp: Language, corpus: dict[str, TaggedSentences], seconds: float, rounds: int) -> None:
    """Trains `nlp` for `seconds`, without the time of evaluations, and restores the weights that were best on dev."""
    settings = registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)
    examples = make_examples(nlp, corpus["train"])
    nlp.initialize(lambda: examples, sgd=settings["optimizer"])
    pace = Pace(turns, rounds, seconds=seconds)

    def evaluate() -> tuple[float, Message]:
        started = perf_counter()
        score = accuracy(nlp, corpus["dev"])
        pace.leave_out(perf_counter() - started)
        return score, {}

    steps = train_while_improving(
        nlp,
        settings["optimizer"],
        create_train_batches(nlp, lambda _: examples, settings["batcher"], max_epochs=0),
        evaluate,
        dropout=settings["dropout"],
        eval_frequency=settings["eval_frequency"],
        accumulate_gradient=settings["accumulate_gradient"],
        # Without patience and a number of steps, only `Pace` ends the training.
        patience=0,
        max_steps=0,
        exclude=[],
        annotating_components=[],
        before_update=None,
    )
    pace.begin()
    for batch, _, is_best in steps:
        if is_best:
            started = perf_counter()
            best = nlp.to_bytes()
            pace.leave_out(perf_counter() - started)
        if pace.step(sum(len(example) for example in batch)):
            break
    nlp.from_bytes(best)
    turns.give(**pace.result)


def tag(nlp: Language, sentences: TaggedSentences) -> Message:
    """Times `nlp.pipe`."""
    docs = make_docs(nlp, sentences)
    started = perf_counter()
    docs = list(nlp.pipe(docs))
    seconds = perf_counter() - started
    return {"seconds": {"pipe": seconds}, "tags": [[token.tag_ for token in doc] for doc in docs]}


def main() -> None:
    turns = Turns()
    settings = turns.take()
    fix_random_seed(0)
    corpus = settings["corpus"]
    nlp = load_model_from_config(init_config(lang="en", pipeline=["tagger"], optimize="efficiency"), auto_fill=True)
    turns.give(spacy=f"spaCy {spacy.__version__}")
    train(turns, nlp, corpus, **settings["training"])
    while True:
        command = turns.take()
        if "save" in command:
            nlp.to_disk(command["save"])
            turns.give()
        else:
            turns.give(**tag(nlp, corpus["test"], **command))


main()
