"""The worker that loads a tagger from the disk and times it, for `benchmarks/inference_peers.py`.

It serves every system, in the environment of that system, so each system is imported where it is loaded. The time to
make the sentence objects of a peer is not counted, which favours the peers.
"""

from __future__ import annotations

import logging
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from turns import Message, Turns

Tagged = list[list[str]]
# Gets the tokens of sentences; returns the seconds of tagging, and the tags.
Tagger = Callable[[list[list[str]]], tuple[float, Tagged]]
# Sentences in a batch of flair's tagging: the size that `tagging_peers.py` found to be faster.
FLAIR_BATCH = 128


def zoo_tagger(model: str, threads: int, precision: str) -> Tagger:
    """Ours. It keeps the vectors of words that it has read: the first call alone reads them all for the first time."""
    import torch

    from recipes.runner.recipe import instance
    from zoo.hub.pretrained import from_pretrained
    from zoo.models.tagger import SequenceTagger

    torch.set_num_threads(threads)
    tagger = instance(from_pretrained(model), SequenceTagger)

    def tag(sentences: list[list[str]]) -> tuple[float, Tagged]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            started = perf_counter()
            tags = tagger.predict(sentences)
            return perf_counter() - started, tags

    return tag


def flair_tagger(model: str, threads: int) -> Tagger:
    import flair
    import torch
    from flair.data import Sentence
    from flair.models import SequenceTagger

    flair.device = torch.device("cpu")
    torch.set_num_threads(threads)
    tagger = SequenceTagger.load(model)

    def tag(sentences: list[list[str]]) -> tuple[float, Tagged]:
        made = [Sentence(tokens) for tokens in sentences]
        started = perf_counter()
        tagger.predict(made, mini_batch_size=FLAIR_BATCH)
        seconds = perf_counter() - started
        return seconds, [[token.get_label("upos").value for token in sentence] for sentence in made]

    return tag


def stanza_tagger(model: str, threads: int) -> Tagger:
    """The tagger of stanza's pipeline, without its tokenizer."""
    import stanza
    import torch

    torch.set_num_threads(threads)
    nlp = stanza.Pipeline(
        "en",
        # A list of downloadable models, which is empty, lies beside the model.
        dir=str(Path(model).parent),
        processors="tokenize,pos",
        package=None,
        tokenize_pretokenized=True,
        pos_model_path=model,
        download_method=None,
        allow_unknown_language=True,
        use_gpu=False,
    )

    def tag(sentences: list[list[str]]) -> tuple[float, Tagged]:
        document = nlp.processors["tokenize"].process(sentences)
        started = perf_counter()
        document = nlp.processors["pos"].process(document)
        seconds = perf_counter() - started
        return seconds, [[word.upos for word in sentence.words] for sentence in document.sentences]

    return tag


def spacy_tagger(model: str) -> Tagger:
    import spacy
    from spacy.tokens import Doc

    nlp = spacy.load(model)

    def tag(sentences: list[list[str]]) -> tuple[float, Tagged]:
        docs = [Doc(nlp.vocab, words=tokens) for tokens in sentences]
        started = perf_counter()
        docs = list(nlp.pipe(docs))
        seconds = perf_counter() - started
        return seconds, [[token.tag_ for token in doc] for doc in docs]

    return tag


LOADERS: dict[str, Callable[..., Tagger]] = {
    "lstm-zoo": zoo_tagger,
    "flair": flair_tagger,
    "stanza": stanza_tagger,
    "spaCy": spacy_tagger,
}


def peak() -> float:
    """The largest resident set of this process, in MB. Linux states it in KiB, macOS in bytes."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6


def main() -> None:
    turns = Turns()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    settings: Message = turns.take()
    tag = LOADERS[settings["system"]](**settings["arguments"])
    turns.give()
    while True:
        seconds, tags = tag(turns.take()["sentences"])
        turns.give(seconds=seconds, tags=tags, peak=peak())


main()
