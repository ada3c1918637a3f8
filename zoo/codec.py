"""What turns texts into ids and labels into numbers, for each task: model and data must agree on all of it.

A codec is a mapping. Its names are arguments of the model's constructor, its values are what is in force. Models
(`model.codec`) and datamodules (`data.codec`) make theirs here, and here the two are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from zoo.batches.indexers import FormIndexer, PairIndexer, WordIndexer
from zoo.text import Preprocessor, Vocabulary

Codec = Mapping[str, object]
SHOWN = 3  # differences that a message describes; the others it names
LONGEST = 40  # characters of a value that a message shows


def classifier_codec(indexer: WordIndexer, preprocess: Preprocessor, labels: Vocabulary, multi_label: bool) -> Codec:
    """Of texts with labels."""
    return {
        "vocabulary": indexer.words,
        "labels": labels,
        "multi_label": multi_label,
        "tokenizer": preprocess.tokenizer,
        "pieces": preprocess.pieces,
        "stop_words": preprocess.stop_words,
        "lowercase": indexer.lowercase,
        "skip_unknown": preprocess.skip_unknown,
        "max_length": preprocess.max_length,
        "truncate": preprocess.truncate,
        "start": preprocess.start,
        "fill": preprocess.fill,
        "empty": preprocess.empty,
        "vector_words": indexer.vectors,
    }


def tagger_codec(indexer: FormIndexer, tags: Vocabulary, scheme: str | None, tokenizer: str) -> Codec:
    """Of sentences with tags."""
    return {
        "words": indexer.words,
        "characters": indexer.characters,
        "tags": tags,
        "scheme": scheme,
        "tokenizer": tokenizer,
        "lowercase": indexer.lowercase,
        "vector_words": indexer.vectors,
    }


def writer_codec(indexer: PairIndexer) -> Codec:
    """Of pairs of texts. Where both sides share a vocabulary or pieces, both have them here."""
    source, target = indexer.source, indexer.target
    return {
        "source_words": indexer.source_vocabulary,
        "target_words": indexer.target_vocabulary,
        "tokenizer": source.tokenizer,
        "source_pieces": source.sentencepiece_model,
        "target_pieces": target.sentencepiece_model,
        "stop_words": source.stop_words,
        "lowercase": source.lowercase,
        "vector_words": indexer.vectors,
        "max_source": indexer.max_source,
        "max_target": indexer.max_target,
    }


def disagreement(data: Codec, model: Codec, *, model_name: str, settable: Sequence[str]) -> str | None:
    """What differs between data and model, and what to type; None where nothing does.

    Args:
        data: the codec of the data.
        model: that of the model, with the same names.
        model_name: of the model's class.
        settable: the names that the data can be given too.
    """
    differing = [name for name in data if _plain(data[name]) != _plain(model[name])]
    if not differing:
        return None
    told = [_difference(name, data[name], model[name]) for name in differing[:SHOWN]]
    if len(differing) > SHOWN:
        told.append("and so do " + ", ".join(differing[SHOWN:]))
    from_data = [name for name in differing if name in settable]
    of_model = [name for name in differing if name not in settable]
    advice = []
    if from_data:
        if "vector_words" in from_data:
            from_data.append("vector_size")
        arguments = ", ".join(f"{name}=data.{name}" for name in from_data)
        advice.append(f"give a new model what the data has: zoo.{model_name}(..., {arguments})")
    if of_model:
        flags = ", ".join(f"--model.{name}" for name in of_model)
        advice.append(f"leave {', '.join(of_model)} out of a new model ({flags})")
    return (
        f"data and model disagree and would read one text as different numbers: {'; '.join(told)}. "
        f"Either {', and '.join(advice)}; or let the data follow a trained model: data.adopt(model)"
    )


def _plain(value: object) -> object:
    return value if isinstance(value, str) or not isinstance(value, Sequence) else list(value)


def _difference(name: str, data: object, model: object) -> str:
    ours, theirs = _plain(data), _plain(model)
    if not isinstance(ours, list):
        return f"{name} is {_short(ours)} in the data and {_short(theirs)} in the model"
    if len(ours) != len(theirs):
        return f"{name} has {len(ours):,} entries in the data and {len(theirs):,} in the model"
    pairs = enumerate(zip_longest(ours, theirs))
    place, (one, other) = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
    return f"{name} has {_short(one)} in the data and {_short(other)} in the model at place {place}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."
