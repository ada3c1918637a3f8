"""Scores of the splitting rules on the raw text of UD_English-EWT, and of pos-en-ewt on the words that they find.

Scores are F1 of spans in the text, as in the CoNLL 2018 shared task (Zeman et al. 2018): a span counts if both of its
ends are right, and a word's tag counts if its span does too. A multi-word token such as "don't" is one token of two
words. The documents are restored from the comments and `SpaceAfter=No` of the treebank: an empty line ends a
paragraph, and a space separates sentences.

python benchmarks/raw_text.py [--split dev] [--errors 40] [--no-tags]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zoo
from datamodules import locate
from recipes.runner.recipe import instance
from zoo.text.documents import read_document

ROUNDS = 3


@dataclass
class Document:
    """A raw text and the spans of its gold annotation, `(start, end)` each."""

    text: str = ""
    sentences: list[tuple[int, int]] = field(default_factory=list)
    tokens: list[tuple[int, int]] = field(default_factory=list)
    words: list[tuple[int, int]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def read_documents(path: str | Path) -> list[Document]:
    """The documents of a CoNLL-U file.

    The words of a multi-word token are searched in its spelling from left to right. In EWT, they are its parts.
    """
    documents: list[Document] = []
    for block in Path(path).read_text("utf-8").strip().split("\n\n"):
        lines = block.split("\n")
        if any(line.startswith("# newdoc") for line in lines):
            documents.append(Document())
        document = documents[-1]
        if any(line.startswith("# newpar") for line in lines) and document.text:
            document.text = document.text.rstrip() + "\n\n"
        add_sentence(document, [line.split("\t") for line in lines if not line.startswith("#")])
    return documents


def add_sentence(document: Document, rows: Sequence[Sequence[str]]) -> None:
    """Adds the text and the spans of one sentence, given the columns of its lines."""
    first = len(document.text)
    last_of_token = 0
    for row in rows:
        number, form, tag, misc = row[0], row[1], row[3], row[9]
        if "." in number:
            continue
        low, _, high = number.partition("-")
        start = len(document.text)
        if high or int(low) > last_of_token:
            document.text += form
            document.tokens.append((start, start + len(form)))
            last_of_token = int(high or low)
            word_start = start
            space = "SpaceAfter=No" not in misc
        if not high:
            start = document.text.index(form, word_start)
            word_start = start + len(form)
            document.words.append((start, word_start))
            document.tags.append(tag)
            if int(low) == last_of_token and space:
                document.text += " "
    document.sentences.append((first, len(document.text.rstrip())))


def f1(gold: Iterable[object], found: Iterable[object]) -> float:
    """The F1 of two collections of distinct elements, in percent."""
    wanted, got = set(gold), set(found)
    return 200 * len(wanted & got) / (len(wanted) + len(got))


def show_errors(documents: Sequence[Document], found: Sequence[Sequence[tuple[int, int]]], most: int) -> None:
    """Prints the `most` frequent passages that are split differently from the treebank."""
    differences = Counter[tuple[str, str]]()
    for document, words in zip(documents, found, strict=True):
        ours, gold = {end for _, end in words}, {end for _, end in document.words}
        common = sorted(ours & gold)
        for start, end in zip([0, *common], common, strict=False):
            one = [document.text[a:b] for a, b in words if start <= a < end]
            other = [document.text[a:b] for a, b in document.words if start <= a < end]
            if one != other:
                differences[" ".join(other), " ".join(one)] += 1
    for (gold_words, our_words), count in differences.most_common(most):
        print(f"{count:4}  expected {gold_words!r}, got {our_words!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="dev", choices=["train", "dev", "test"])
    parser.add_argument("--errors", type=int, default=0, help="how many kinds of errors to print")
    parser.add_argument("--no-tags", action="store_true", help="do not run the tagger")
    options = parser.parse_args()

    documents = read_documents(locate("ud-en-ewt")[options.split])
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = [read_document(document.text) for document in documents]
        seconds.append(time.perf_counter() - start)
    words = [[(token.start, token.end) for sentence in sentences for token in sentence] for sentences in found]
    numbered = list(enumerate(zip(documents, found, words, strict=True)))
    tokens = {(i, *span) for i, (_, sentences, _) in numbered for one in sentences for span in merged(one)}
    scores = {
        "tokens": f1({(i, *span) for i, (document, *_) in numbered for span in document.tokens}, tokens),
        "words": f1(
            {(i, *span) for i, (document, *_) in numbered for span in document.words},
            {(i, *span) for i, (*_, spans) in numbered for span in spans},
        ),
        "sentences": f1(
            {(i, *span) for i, (document, *_) in numbered for span in document.sentences},
            {(i, one[0].start, one[-1].end) for i, (_, sentences, _) in numbered for one in sentences},
        ),
    }
    if not options.no_tags:
        tagger = instance(zoo.from_pretrained("pos-en-ewt"), zoo.SequenceTagger)
        flat = [[token.text for token in one] for sentences in found for one in sentences]
        tags = iter([tag for one in tagger.predict(flat) for tag in one])
        scores["UPOS"] = f1(
            {(i, *span, tag) for i, (d, *_) in numbered for span, tag in zip(d.words, d.tags, strict=True)},
            {(i, *span, next(tags)) for i, (*_, spans) in numbered for span in spans},
        )
    if options.errors:
        show_errors(documents, words, options.errors)
    speed = sum(map(len, words)) / min(seconds)
    print(f"ud-en-ewt {options.split}, {len(documents)} documents, {sum(len(d.words) for d in documents):,} words")
    print("| " + " | ".join(scores) + " | tokens/s |")
    print("|" + "---|" * (len(scores) + 1))
    print("| " + " | ".join(f"{score:.2f}" for score in scores.values()) + f" | {speed:,.0f} |")


def merged(sentence: Sequence[zoo.text.documents.Token]) -> list[tuple[int, int]]:
    """The spans of tokens. A clitic is joined to the word before it."""
    spans: list[tuple[int, int]] = []
    for token in sentence:
        if token.is_clitic:
            spans[-1] = (spans[-1][0], token.end)
        else:
            spans.append((token.start, token.end))
    return spans


if __name__ == "__main__":
    main()
