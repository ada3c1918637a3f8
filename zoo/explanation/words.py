"""Questions about a word that a model writes, and about the next word of a language model.

Shapes: B variants of one text, S pieces of a source, T tokens, X features of an embedded token.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from zoo.batches.seq2seq import Pair, Seq2SeqInputs
from zoo.codecs import LanguageModelingCodec, Seq2SeqCodec
from zoo.errors import ZooError, shown
from zoo.explanation.question import Asked, Question, check_position
from zoo.explanation.reading import Reading
from zoo.models.language_model import LanguageModel
from zoo.models.seq2seq import Seq2Seq
from zoo.text import PAD_ID, UNKNOWN_ID
from zoo.text.languages import is_unspaced
from zoo.text.reversible import END, SPACE, bare


def ask_writer(model: Seq2Seq, readings: Sequence[Reading], asked: Asked) -> Question:
    """Asks for the log-probability of a word of the output, after the words before it, which stay as they are.

    The tokens are the pieces of the source.
    """
    reading = readings[0]
    if len(readings) > 1:
        got = f"{len(readings)}, the first one {shown(reading.text)}"
        raise ZooError(f"expected one sentence an input, got {got}: explain them one by one")
    output = model.predict([reading.text])[0] if asked.output is None else asked.output
    pair = Pair(reading.text, output)
    _, target = model.codec.indexer.pieces(*pair)
    words = _words([*target, END], model.codec)
    position = _place(asked, [word for word, _, _ in words])
    word, start, end = words[position]
    batch = move_data_to_device(model.codec.dataset([pair]).batch([0]), model.device)
    batch = batch._replace(target_ids=batch.target_ids[:, :end], target_lengths=batch.target_lengths.clamp(max=end))

    def score(x: Tensor) -> Tensor:
        rows = len(x)
        inputs = _repeated(batch.inputs, rows)
        many = batch._replace(
            inputs=inputs,
            target_ids=batch.target_ids.expand(rows, -1),
            target_lengths=batch.target_lengths.expand(rows),
        )
        memory, state = model.encode(x, inputs)
        decoded, read = model.follow_targets(many, memory, state)
        log_probability, _ = model.log_probability(many, decoded, read, memory)  # (B * end,)
        return log_probability.view(rows, end)[:, start:].sum(1)

    weights = None
    if model.decoder.attention is not None:
        memory, state = model.encode(reading.x, batch.inputs)
        decoded, _ = model.follow_targets(batch, memory, state)
        weights = decoded.weights[0, start:].mean(0)  # (S,)
    return Question(reading, score, word, position=position, attention=weights)


def ask_language_model(model: LanguageModel, readings: Sequence[Reading], asked: Asked) -> Question:
    """Asks for the log-probability of the token after the text, by default of the most probable one.

    The tokens are those that are read, in the order of reading: the end of the text before is the first.
    """
    (reading,) = readings

    def features(x: Tensor) -> Tensor:
        return model.read(x, reading.lengths.expand(len(x))).sequence[:, -1]  # (B, H)

    if asked.target is None:
        scores = model.output.log_probabilities(features(reading.x), model.embedding.weight)[0]  # (V,)
        scores[[PAD_ID, UNKNOWN_ID]] = -torch.inf
        target_id = int(scores.argmax())
    else:
        target_id = _token_id(asked.target, model.codec)

    def score(x: Tensor) -> Tensor:
        return model.log_probability(features(x), torch.full((len(x),), target_id, device=x.device))

    (target,) = model.codec.tokens([target_id])
    return Question(reading, score, bare(target))


def output_words(model: Seq2Seq, output: str) -> list[str]:
    """The words of an output that can be explained, in the order of their positions; the last one is its end."""
    _, pieces = model.codec.indexer.pieces("", output)
    return [word for word, _, _ in _words([*pieces, END], model.codec)]


def _words(pieces: list[str], codec: Seq2SeqCodec) -> list[tuple[str, int, int]]:
    """The words of an output, each with the places of its pieces, from the first to before the last.

    A word is all pieces up to the next white space if the pieces are parts of words, else one piece.
    """
    joins = codec.tokenizer == "sentencepiece" and not is_unspaced(codec.language)
    last = len(pieces) - 1
    starts = [i for i, piece in enumerate(pieces) if i in (0, last) or not joins or piece.startswith(SPACE)]
    bounds = pairwise([*starts, len(pieces)])
    return [("".join(map(bare, pieces[start:end])), start, end) for start, end in bounds]


def _place(asked: Asked, words: list[str]) -> int:
    """The position of the word to explain, from the position, from the word itself, or from both."""
    if asked.target is None or asked.position is not None:
        position = check_position(asked.position, words, "word of the output")
        if asked.target not in (None, words[position]):
            raise ZooError(f"the word at position {position} is {words[position]!r}, not {asked.target!r}")
        return position
    places = [place for place, word in enumerate(words) if word == asked.target]
    if not places:
        raise ZooError(f"expected a word of the output {' '.join(words)!r} as the target, got {asked.target!r}")
    if len(places) > 1:
        listed = ", ".join(map(str, places))
        raise ZooError(f"{asked.target!r} is in the output at the positions {listed}: give one of them as position")
    return places[0]


def _repeated(inputs: Seq2SeqInputs, rows: int) -> Seq2SeqInputs:
    """One source as a batch of equal rows."""
    return inputs._replace(
        source_ids=inputs.source_ids.expand(rows, -1),
        source_lengths=inputs.source_lengths.expand(rows),
        vector_ids=inputs.vector_ids.expand(rows, -1),
        copy_ids=inputs.copy_ids.expand(rows, -1),
        unknown=inputs.unknown * rows,
    )


def _token_id(target: str, codec: LanguageModelingCodec) -> int:
    known = codec.vocabulary.get(target, UNKNOWN_ID)
    if known > UNKNOWN_ID:
        return known
    ids = codec.ids(target)[:-1]
    if len(ids) != 1 or ids[0] == UNKNOWN_ID:
        read = ", ".join(map(repr, codec.tokens(ids))) or "nothing"
        raise ZooError(f"expected one token of the vocabulary as the target, got {target!r}, which is read as {read}")
    return ids[0]
