"""The base of all models that tag: raw texts to sentences of tokens, and tags to tokens and spans with their places."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain, islice
from typing import Literal, NamedTuple, overload

from zoo.codecs import TaggingCodec
from zoo.errors import ZooError
from zoo.models.base import ZooModule
from zoo.models.inputs import check_sentences
from zoo.text.tag_schemes import spans


class TaggedToken(NamedTuple):
    """A token and its tag; `input[start:end]` is the token."""

    text: str
    tag: str
    start: int
    end: int


class TaggedSpan(NamedTuple):
    """Consecutive tokens and their label; `input[start:end]` is the text of the span."""

    text: str
    label: str
    start: int
    end: int


class TextTagger(ZooModule):
    """A model that tags the tokens of a sentence; a subclass defines `_tag`."""

    unit = "sentence"
    codec: TaggingCodec

    @abstractmethod
    def _tag(self, sentences: Sequence[Sequence[str]], max_tokens: int) -> list[list[str]]:
        """The tags of the tokens of each sentence, in batches of at most `max_tokens` tokens."""

    @overload
    def predict(
        self, inputs: Sequence[str | Sequence[str]], *, max_tokens: int = 4096, return_offsets: Literal[False] = False
    ) -> list[list[str]]: ...

    @overload
    def predict(
        self, inputs: Sequence[str | Sequence[str]], *, max_tokens: int = 4096, return_offsets: Literal[True]
    ) -> list[list[TaggedToken]]: ...

    def predict(
        self, inputs: Sequence[str | Sequence[str]], *, max_tokens: int = 4096, return_offsets: bool = False
    ) -> list[list[str]] | list[list[TaggedToken]]:
        """Tags texts on the model's device, under the autocast that is active.

        >>> tagger = zoo.from_pretrained("pos-en-ewt")
        >>> tagger.predict(["I can't."], return_offsets=True)[0][2]
        TaggedToken(text="n't", tag='PART', start=4, end=7)

        Args:
            inputs: raw texts, each a string of any number of sentences, or sentences, each a list of tokens. A text is
                split into sentences and tokens as `codec.tokenizer` says, and each sentence is tagged by itself.
            max_tokens: the token budget of a batch, padding included. On a CPU, as many batches as torch has threads
                are processed at once. A larger budget needs more memory and does not change the results.
            return_offsets: whether to return the tokens too, and their places in the text. The text of a list of
                tokens is `" ".join(tokens)`.

        Returns:
            For each input, in the given order, the list of the tags of its tokens, or of its tokens with their tags
            and places. It is empty if the input has no token.

        Raises:
            ZooError: an input is neither a text nor a list of tokens, or a token is empty.
        """
        items = check_sentences(inputs)
        documents = [
            [[token.text for token in sentence] for sentence in self.codec.read(item)]
            if isinstance(item, str)
            else [item]
            for item in items
        ]
        tags = iter(self._tag([sentence for document in documents for sentence in document], max_tokens))
        answers = [list(chain.from_iterable(islice(tags, len(document)))) for document in documents]
        if not return_offsets:
            return answers
        return [tagged_tokens(self.codec, item, answer) for item, answer in zip(items, answers, strict=True)]

    def find_spans(self, inputs: Sequence[str | Sequence[str]], *, max_tokens: int = 4096) -> list[list[TaggedSpan]]:
        """Finds the spans that the tags mark, such as the names in a text.

        >>> tagger = zoo.from_pretrained("ner-zh-resume")
        >>> tagger.find_spans(["王珺珊女士，中国国籍。"])[0][0]
        TaggedSpan(text='王珺珊', label='NAME', start=0, end=3)

        Args:
            inputs, max_tokens: as in `predict`.

        Returns:
            For each input, in the given order, its spans with their places in the text.

        Raises:
            ZooError: as `predict`; or each tag of this model stands for itself.
        """
        scheme = self.codec.scheme
        if scheme is None:
            raise ZooError("the tags of this model mark no spans: use predict(inputs, return_offsets=True)")
        items = check_sentences(inputs)
        answers = self.predict(items, max_tokens=max_tokens)
        return [tagged_spans(self.codec, item, answer, scheme) for item, answer in zip(items, answers, strict=True)]


def tagged_tokens(codec: TaggingCodec, item: str | Sequence[str], tags: Sequence[str]) -> list[TaggedToken]:
    """The tokens of a text, given their tags."""
    tokens = [token for sentence in codec.read(item) for token in sentence]
    return [TaggedToken(token.text, tag, token.start, token.end) for token, tag in zip(tokens, tags, strict=True)]


def tagged_spans(codec: TaggingCodec, item: str | Sequence[str], tags: Sequence[str], scheme: str) -> list[TaggedSpan]:
    """The well-formed spans of a text, given the tags of its tokens. No span goes beyond its sentence."""
    text = item if isinstance(item, str) else " ".join(item)
    remaining = iter(tags)
    found = []
    for sentence in codec.read(item):
        for span in spans(list(islice(remaining, len(sentence))), scheme):
            start = sentence[span.start].start
            end = sentence[span.end - 1].end
            found.append(TaggedSpan(text[start:end], span.label, start, end))
    return found
