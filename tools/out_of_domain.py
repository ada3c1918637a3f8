"""Scores bundled models on texts unlike those of their training, and writes the scores into their cards.

python tools/out_of_domain.py pos-en-ewt topic-zh-shopping --write

Where no other corpus has the tags or labels of a model, its own test split is made unlike: in lower case, or cut short.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.examples import TaggedSentence
from tools.bundle_model import predict
from zoo.hub.sources import BUNDLED
from zoo.metrics.generation import SCORES
from zoo.model_card import publish_card
from zoo.models.base import ZooModule
from zoo.text.tag_schemes import spans

Scores = dict[str, float]
Scoring = Callable[[ZooModule], Scores]
# A part of speech belongs to a Penn tag if at least this fraction of the tokens with the Penn tag has it.
COMPATIBLE = 0.05
# The characters of a review that is cut short.
SHORT = 10


class Foreign(NamedTuple):
    """Texts, as the card describes them, and what scores a model on them."""

    data: str
    scores: Scoring


def label_accuracy(texts: Sequence[tuple[str, str]]) -> Scoring:
    """The fraction of texts with the right label, given pairs of a text and its label."""

    def scores(model: ZooModule) -> Scores:
        answers = predict(model, [text for text, _ in texts])
        right = sum(answer["label"] == label for answer, (_, label) in zip(answers, texts, strict=True))
        return {"accuracy": right / len(texts)}

    return scores


def labelled(dataset: str, *, every: int = 1, label_column: str | None = None) -> list[tuple[str, str]]:
    """Texts of a test split, each `every`-th, and their labels."""
    data = ClassificationDataModule(dataset, label_column=label_column)
    return [(text.text, text.labels[0]) for text in data.texts("test")[::every]]


def not_spam(dataset: str, *, every: int = 1) -> Scoring:
    return label_accuracy([(text, "ham") for text, _ in labelled(dataset, every=every)])


def short_reviews(label_column: str | None) -> Scoring:
    """The beginnings of reviews in Chinese."""
    return label_accuracy([(text[:SHORT], label) for text, label in labelled("shopping-zh", label_column=label_column)])


def sentiment_of_films() -> Scoring:
    """Reviews of IMDB. SST-2 has other names of the two labels."""
    names = {"neg": "negative", "pos": "positive"}
    return label_accuracy([(text, names[label]) for text, label in labelled("imdb", every=5)])


def tag_accuracy(sentences: Sequence[TaggedSentence], fits: Callable[[str, str], bool]) -> Scoring:
    """The fraction of tokens whose tag fits the gold one."""

    def scores(model: ZooModule) -> Scores:
        answers = chain.from_iterable(predict(model, [list(sentence.tokens) for sentence in sentences]))
        gold = chain.from_iterable(sentence.tags for sentence in sentences)
        right = [fits(answer, tag) for answer, tag in zip(answers, gold, strict=True)]
        return {"accuracy": sum(right) / len(right)}

    return scores


def penn_compatible() -> Callable[[str, str], bool]:
    """Whether EWT's training data has a part of speech together with a Penn tag; punctuation is of one kind."""
    upos = TaggingDataModule("ud-en-ewt", column="upos").sentences("train")
    xpos = TaggingDataModule("ud-en-ewt", column="xpos").sentences("train")
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one, other in zip(upos, xpos, strict=True):
        for part, penn in zip(one.tags, other.tags, strict=True):
            counts[penn][part] += 1
    kinds = {
        penn: {part for part, count in parts.items() if count >= COMPATIBLE * parts.total()}
        for penn, parts in counts.items()
    }
    return lambda part, penn: part in kinds.get(penn, {"PUNCT"} if not penn[0].isalpha() else set())


def span_f1(sentences: Sequence[TaggedSentence], scheme: str) -> Scoring:
    """The F1 of spans, given gold tags in IOB1 and predicted ones in `scheme`."""

    def scores(model: ZooModule) -> Scores:
        answers = predict(model, [list(sentence.tokens) for sentence in sentences])
        matched = predicted = expected = 0
        for sentence, tags in zip(sentences, answers, strict=True):
            gold = {*spans(sentence.tags, "IOB1")}
            found = {*spans(tags, scheme)}
            matched += len(gold & found)
            predicted += len(found)
            expected += len(gold)
        return {"span_f1": 2 * matched / (predicted + expected)}

    return scores


def lowered(sentences: Sequence[TaggedSentence]) -> list[TaggedSentence]:
    return [replace(sentence, tokens=tuple(map(str.lower, sentence.tokens))) for sentence in sentences]


def characters_in_spans(texts: Sequence[str]) -> Scoring:
    """The fraction of characters that a tagger takes for a part of a span."""

    def scores(model: ZooModule) -> Scores:
        tags = list(chain.from_iterable(predict(model, [list(text) for text in texts])))
        return {"characters_in_spans": sum(tag != "O" for tag in tags) / len(tags)}

    return scores


def written(pairs: Sequence[tuple[str, str]], metric: str, names: Sequence[str], language: str) -> Scoring:
    """Scores `names` of a metric of outputs, given pairs of a source and its reference."""

    def scores(model: ZooModule) -> Scores:
        outputs = [str(output) for output in predict(model, [source for source, _ in pairs])]
        found = SCORES[metric](outputs, [target for _, target in pairs], language)
        return {name: found[name] for name in names}

    return scores


def posts_with_subjects() -> list[tuple[str, str]]:
    """The bodies of posts of 20 Newsgroups that begin a thread, and their subjects."""
    pairs = []
    for text, _ in labelled("20news", every=10):
        header, _, body = text.partition("\n\n")
        subjects = [line.removeprefix("Subject:").strip() for line in header.split("\n") if line.startswith("Subject:")]
        if body.strip() and subjects and subjects[0] and not subjects[0].lower().startswith("re:"):
            pairs.append((body, subjects[0]))
    return pairs


def typed_captions(source: str, target: str) -> list[tuple[str, str]]:
    """Captions as people type them into a field: in lower case and without the full stop."""
    pairs = Seq2SeqDataModule("multi30k", source=source, target=target).pairs("test")
    return [(pair.source.lower().rstrip(" ."), pair.target) for pair in pairs]


def penn_tagged() -> list[TaggedSentence]:
    """Sentences of CoNLL-2003. Their Penn tags were assigned by a tagger."""
    return TaggingDataModule("conll03-en", column="1", scheme="none").sentences("test")


def tests(name: str) -> list[Foreign]:
    """The tests of a model, which read their corpora."""
    news = "CoNLL-2003 test, news, 46,435 tokens with Penn tags that a tagger assigned"
    short = f"the first {SHORT} characters of each review of test, 6,241 reviews"
    typed = "Multi30k test as people type: in lower case and without the full stop"
    if name == "pos-en-ewt":
        kind = f"{news}: right is a part of speech that EWT's training data has with that tag"
        return [Foreign(kind, tag_accuracy(penn_tagged(), penn_compatible()))]
    if name == "xpos-en-ewt":
        kind = f"{news}; 3.9 % of them are brackets and quotes whose tags EWT lacks"
        return [Foreign(kind, tag_accuracy(penn_tagged(), str.__eq__))]
    if name == "ner-en-conll03":
        sentences = lowered(TaggingDataModule("conll03-en").sentences("test"))
        return [Foreign("CoNLL-2003 test in lower case", span_f1(sentences, "BIOES"))]
    if name == "ner-zh-resume":
        reviews = [text for text, _ in labelled("shopping-zh", every=10)]
        kind = f"every tenth review of shopping-zh test, {len(reviews)} texts that are no résumés"
        return [Foreign(kind, characters_in_spans(reviews))]
    if name == "sentiment-en-sst2":
        return [Foreign("every fifth review of IMDB test, 5,000 long texts", sentiment_of_films())]
    if name == "sentiment-zh-shopping":
        return [Foreign(short, short_reviews(None))]
    if name == "topic-zh-shopping":
        return [Foreign(short, short_reviews("cat"))]
    if name == "spam-en-sms":
        return [
            Foreign("SST-2 test, 1,821 sentences of film reviews, none of them spam", not_spam("sst2")),
            Foreign("TREC test, 500 questions, none of them spam", not_spam("trec")),
            Foreign(
                "every fifth text of 20 Newsgroups test with its header, 1,507 long texts, none of them spam",
                not_spam("20news", every=5),
            ),
        ]
    if name == "titles-en-acl":
        posts = posts_with_subjects()
        kind = f"{len(posts)} posts of 20 Newsgroups test without their header, and their subjects"
        return [Foreign(kind, written(posts, "rouge", ("rouge1", "rougeL"), "en"))]
    if name == "translate-en-de-multi30k":
        return [Foreign(typed, written(typed_captions("en", "de"), "bleu", ("bleu", "chrf"), "de"))]
    if name == "translate-de-en-multi30k":
        return [Foreign(typed, written(typed_captions("de", "en"), "bleu", ("bleu", "chrf"), "en"))]
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of the models; by default all")
    parser.add_argument("--write", action="store_true", help="write the scores into the cards")
    options = parser.parse_args()
    for name in options.names or zoo.list_pretrained():
        model = zoo.from_pretrained(name)
        found: list[dict[str, Any]] = []
        for foreign in tests(name):
            scores = {key: round(value, 4) for key, value in foreign.scores(model).items()}
            found.append({"data": foreign.data, "scores": scores})
            print(f"{name}, {foreign.data}: {scores}", flush=True)
        if options.write and found:
            publish_card(BUNDLED / name, {**zoo.card(name), "out_of_domain": found})


if __name__ == "__main__":
    main()
