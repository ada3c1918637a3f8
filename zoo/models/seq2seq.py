"""Sequence to sequence: a recurrent encoder, attention, and a recurrent decoder that may copy from its source.

Encoder-decoder after Sutskever et al. (2014) and Bahdanau et al. (2015), attention after the recurrent layers as in
Luong et al. (2015), pointer and coverage after See et al. (2017).

Shapes: B pairs, S source positions, T target positions, R rows of one step, V target words, X words more in the
extended vocabulary, E features of an embedding, M of a source position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.batches.indexers import PairIndexer
from zoo.batches.seq2seq import Seq2SeqBatch
from zoo.errors import ZooError, unknown_name
from zoo.generation import Step
from zoo.masks import padding_mask
from zoo.memory import require_memory
from zoo.metrics.generation import MONITORS, SCORES, TextMetrics
from zoo.models.generator import BEGIN_ID, Losses, Search, WritingModule
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import RecurrentOptions
from zoo.nn.decoder import AttentionDecoder, Decoded, DecoderState, Memory
from zoo.nn.dropout import LockedDropout
from zoo.nn.embeddings import ImportedVectors, import_table
from zoo.nn.losses import token_log_probability
from zoo.nn.pointer import Pointer
from zoo.text import PAD_ID, UNKNOWN_ID, Vocabulary
from zoo.text.reversible import ReversibleTokenizer
from zoo.text.units import UNITS

NEVER_WRITTEN = [PAD_ID, UNKNOWN_ID, BEGIN_ID]


class Seq2Seq(WritingModule):
    """Rewrites a text: translates it, for example.

    >>> translator = zoo.from_pretrained("translate-en-de-multi30k")
    >>> translator.predict(["A dog runs on the beach."], beam=5)
    ['Ein Hund rennt am Strand.']

    A model of sentences translates a text of several sentence by sentence.

    Args:
        source_words: the vocabulary of sources, `zoo.batches.seq2seq.SPECIALS` first.
        target_words: that of targets; empty where both are one, and share their embeddings.
        tokenizer: "sentencepiece", "words", "characters" or "jieba" (Chinese words).
        source_pieces: the serialized `SentencePieceModel` of sources, for the first.
        target_pieces: likewise; empty where both are one.
        stop_words: words of sources that are not read, in lower case; not with sentencepiece.
        lowercase: whether both sides are in lower case, so that "Neural" can be copied from "neural".
        vector_words: the source words that imported vectors exist for, `<pad>` and `<unk>` first (`import_vectors`);
            none with sentencepiece.
        vector_size: their number of features; the encoder reads them beside the embedding.
        tune_vectors: whether training changes them.
        language: of targets, a tag of BCP 47 such as "de" or "zh-CN": what has no spaces between words is scored by
            characters (`zoo.text.languages`).
        metric: "bleu", "rouge" or "keywords", what the best checkpoint is chosen by.
        unit: what the sources of training were, a "sentence" or a "text" of several. Of a text `predict` gives a model
            of sentences one after the other, and joins what it writes.
        max_source: pieces of a source that are read.
        max_target: pieces of an output at most.
        embedding_size: E.
        tie_embeddings: whether the output layer's weights are the target embedding.
        cell: of encoder and decoder, a key of `zoo.CELLS`.
        encoder_size: units per direction and layer of the encoder.
        encoder_layers: its layers.
        decoder_size: units per layer of the decoder.
        decoder_layers: its layers.
        dropout: probability of zeroing a feature of the embeddings, between layers (with input feeding not between
            the decoder's), and of the decoder's output.
        recurrent: further options of the recurrent layers, of both sides.
        attention: "additive", "multiplicative" or "none".
        attention_size: features of additive attention.
        input_feeding: whether the decoder's output is part of its next input (slower: step by step, and without
            `recurrent` dropouts).
        copy: whether words may be copied from the source.
        coverage: whether attention sees where it was before (additive attention alone).
        coverage_weight: of the coverage loss.
        coverage_after: training steps without coverage, which at first would only disturb.
        label_smoothing: share of a target spread over the vocabulary.
        scheduled_sampling: probability that training reads the model's own guess in the place of the last word.
        beam: hypotheses of the search in `predict` and in evaluation.
        length_penalty: 0 prefers short outputs, 1 is about the mean log-probability of a token.
        coverage_penalty: of the search, for sources that were not attended to.
        min_length: pieces of an output at least.
        block_ngrams: no sequence of so many pieces twice in an output; 0 allows all.
        learning_rate: the highest of the schedule.
        weight_decay: of the weight matrices, embeddings excepted.
        warmup: share of the steps in which the learning rate rises.

    An argument that is None has the default of its class: `Seq2Seq` neither copies nor covers, its attention is
    multiplicative, its metric BLEU and its unit a sentence; see `Seq2SeqSummarizer`.

    Raises:
        ValueError: an unknown cell, attention, metric, unit or tokenizer (the known ones are listed), or arguments that
            contradict each other.
    """

    defaults = {"attention": "multiplicative", "copy": False, "coverage": False, "metric": "bleu", "unit": "sentence"}

    def __init__(
        self,
        source_words: Sequence[str],
        *,
        target_words: Sequence[str] = (),
        tokenizer: str = "sentencepiece",
        source_pieces: Sequence[str] = (),
        target_pieces: Sequence[str] = (),
        stop_words: Sequence[str] = (),
        lowercase: bool = False,
        vector_words: Sequence[str] = (),
        vector_size: int = 0,
        tune_vectors: bool = False,
        language: str = "en",
        metric: str | None = None,
        unit: str | None = None,
        max_source: int = 400,
        max_target: int = 100,
        embedding_size: int = 256,
        tie_embeddings: bool = True,
        cell: str = "lstm",
        encoder_size: int = 256,
        encoder_layers: int = 1,
        decoder_size: int = 512,
        decoder_layers: int = 1,
        dropout: float = 0.3,
        recurrent: RecurrentOptions = RecurrentOptions(),
        attention: str | None = None,
        attention_size: int = 256,
        input_feeding: bool = False,
        copy: bool | None = None,
        coverage: bool | None = None,
        coverage_weight: float = 1.0,
        coverage_after: int = 2000,
        label_smoothing: float = 0.1,
        scheduled_sampling: float = 0.0,
        beam: int = 5,
        length_penalty: float = 1.0,
        coverage_penalty: float = 0.0,
        min_length: int = 1,
        block_ngrams: int = 0,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.05,
    ):
        super().__init__()
        source_words, target_words = list(source_words), list(target_words)
        source_pieces, target_pieces = list(source_pieces), list(target_pieces)
        stop_words, vector_words = list(stop_words), list(vector_words)
        attention = self.defaults["attention"] if attention is None else attention
        copy = self.defaults["copy"] if copy is None else copy
        coverage = self.defaults["coverage"] if coverage is None else coverage
        metric = metric or self.defaults["metric"]
        unit = unit or self.defaults["unit"]
        options = RecurrentOptions.of(recurrent)
        recurrent = asdict(options)
        self.save_hyperparameters(logger=False)
        if metric not in SCORES:
            raise unknown_name("metric", metric, SCORES)
        if unit not in UNITS:
            raise unknown_name("unit", unit, UNITS)
        if attention == "none" and (copy or coverage_penalty):
            raise ZooError("without attention nothing can be copied or covered: use another attention than 'none'")
        if not 0 <= label_smoothing < 1 or not 0 <= scheduled_sampling <= 1:
            raise ZooError(
                "expected label_smoothing in [0, 1) and scheduled_sampling in [0, 1], "
                f"got {label_smoothing} and {scheduled_sampling}"
            )
        vocabulary = Vocabulary(source_words)
        targets = Vocabulary(target_words) if target_words else vocabulary
        self.indexer = PairIndexer(
            ReversibleTokenizer(tokenizer, source_pieces, stop_words=stop_words, lowercase=lowercase),
            ReversibleTokenizer(tokenizer, target_pieces or source_pieces, lowercase=lowercase),
            vocabulary,
            targets,
            vectors=Vocabulary(vector_words),
            max_source=max_source,
            max_target=max_target,
        )
        # One embedding where both sides have one vocabulary: the first is the target's, the last the source's.
        sizes = [len(targets)] + [len(vocabulary)] * bool(target_words)
        require_memory(sum(sizes) * embedding_size, f"embeddings of {embedding_size:,} features")
        self.embeddings = nn.ModuleList(nn.Embedding(size, embedding_size, padding_idx=PAD_ID) for size in sizes)
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight[1:].data, std=embedding_size**-0.5)
        self.vectors = ImportedVectors(len(vector_words), vector_size, tune=tune_vectors) if vector_words else None
        self.encoder = RecurrentBackbone(
            embedding_size + (vector_size if vector_words else 0),
            encoder_size,
            cell=cell,
            num_layers=encoder_layers,
            dropout=dropout,
            options=options,
        )
        self.decoder = AttentionDecoder(
            embedding_size,
            self.encoder.output_size,
            cell=cell,
            hidden_size=decoder_size,
            num_layers=decoder_layers,
            dropout=dropout,
            recurrent=options,
            attention=attention,
            attention_size=attention_size,
            coverage=coverage,
            input_feeding=input_feeding,
        )
        self.output = None if tie_embeddings else nn.Linear(embedding_size, len(targets), bias=False)
        self.output_bias = nn.Parameter(torch.zeros(len(targets)))
        self.pointer = Pointer(self.decoder.features_size, embedding_size) if copy else None
        self.dropout = LockedDropout(dropout)
        self.coverage_weight, self.coverage_after = coverage_weight, coverage_after
        self.label_smoothing, self.scheduled_sampling = label_smoothing, scheduled_sampling
        self.unit = unit
        self.search = Search(beam, max_target, min_length, block_ngrams, length_penalty, coverage_penalty)
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.monitor = f"val/{MONITORS[metric]}"
        self.metrics = nn.ModuleDict({stage: TextMetrics(metric, language) for stage in ("val", "test")})

    def import_vectors(self, table: Tensor) -> None:
        """Copies imported vectors: `(len(vector_words) - 2, vector_size)`, without the two special entries."""
        import_table(self.vectors, table)

    @property
    def covering(self) -> bool:
        """Whether attention sees where it was: in training only after `coverage_after` steps."""
        return self.decoder.covers and (not self.training or self.global_step >= self.coverage_after)

    def encode(self, batch: Seq2SeqBatch) -> tuple[Memory, DecoderState]:
        """Reads the sources: what the decoder may look at, and its state before the first step."""
        x = self.embeddings[-1](batch.source_ids)  # (B, S, E)
        if self.vectors is not None:
            x = torch.cat([x, self.vectors(batch.vector_ids)], dim=-1)  # (B, S, E and imported features)
        encoded = self.encoder(self.dropout(x), batch.source_lengths)
        mask = padding_mask(batch.source_lengths, x.shape[1])  # (B, S)
        return self.decoder.remember(encoded, mask, batch.copy_ids), self.decoder.start(encoded)

    def embed(self, tokens: Tensor) -> Tensor:
        """Ids in the extended target vocabulary -> `(*, E)`; what is not in the vocabulary is unknown here."""
        known = len(self.embeddings[0].weight)
        return self.embeddings[0](tokens.masked_fill(tokens >= known, UNKNOWN_ID))

    def project(self, output: Tensor) -> Tensor:
        """The decoder's output `(*, E)` -> the score of generating each word `(*, V)`."""
        weight = self.embeddings[0].weight if self.output is None else self.output.weight
        return F.linear(output, weight, self.output_bias)

    def forward(self, batch: Seq2SeqBatch) -> tuple[Decoded, Tensor, Memory]:
        """Known targets, read one word behind: what the decoder says at each of their positions.

        Returns:
            Of the decoder, its output with dropout; its inputs `(B, T, E)`; and the sources.
        """
        memory, state = self.encode(batch)
        begin = torch.full_like(batch.target_ids[:, :1], BEGIN_ID)
        words = torch.cat([begin, batch.target_ids[:, :-1]], dim=1)  # (B, T)
        if self.training and self.scheduled_sampling:
            words = self._guessed(words, batch.target_lengths, memory, state)
        x = self.dropout(self.embed(words))  # (B, T, E)
        decoded = self.decoder(x, batch.target_lengths, memory, state, covering=self.covering)
        return decoded._replace(output=self.dropout(decoded.output)), x, memory

    def losses(self, batch: Seq2SeqBatch) -> Losses:
        """Losses of known targets, over their N tokens; the one of coverage is equation 12 of See et al. (2017)."""
        decoded, x, memory = self(batch)
        real = padding_mask(batch.target_lengths, batch.target_ids.shape[1])  # (B, T)
        target = batch.target_ids[real]  # (N,)
        outside = target >= len(self.output_bias)  # (N,) which can only be copied
        scores = self.project(decoded.output[real])  # (N, V), padding left out: this is the largest product
        log_probability, mean_of_words = token_log_probability(scores, target.masked_fill(outside, UNKNOWN_ID))  # (N,)
        if self.pointer is not None:
            generated = log_probability.masked_fill(outside, torch.finfo(torch.float32).min / 2)
            generated = generated.new_zeros(real.shape).masked_scatter(real, generated)  # (B, T)
            log_probability = self.pointer(decoded, x, generated, memory.copies, batch.target_ids)[real]  # (N,)
        nll = -log_probability.mean()
        smoothed = (1 - self.label_smoothing) * nll - self.label_smoothing * mean_of_words.mean()
        overlap = torch.minimum(decoded.weights, decoded.coverage).sum(-1)[real]  # (N,)
        return Losses(nll, smoothed, overlap.mean())

    def training_step(self, batch: Seq2SeqBatch, _) -> Tensor:
        losses = self.losses(batch)
        loss = losses.smoothed
        if self.covering:
            loss = loss + self.coverage_weight * losses.coverage
        return loss

    def step_function(self, extra: int) -> Step:
        """What makes one step of decoding, for `zoo.generation`, over an extended vocabulary of V + `extra` words.

        Padding, the begin and the unknown word are never written.
        """

        def step(tokens: Tensor, state: DecoderState, memory: Memory) -> tuple[Tensor, DecoderState]:
            x = self.embed(tokens)  # (R, E)
            decoded, state = self.decoder.step(x, state, memory)
            scores = self.project(decoded.output).float().log_softmax(-1)  # (R, V)
            if self.pointer is not None:
                scores = self.pointer.distribution(decoded, x, scores, memory.copies, extra)  # (R, V + X)
            scores[:, NEVER_WRITTEN] = float("-inf")
            return scores, state

        return step

    @torch.no_grad()
    def _guessed(self, words: Tensor, lengths: Tensor, memory: Memory, state: DecoderState) -> Tensor:
        # Scheduled sampling (Bengio et al. 2015), for all positions in one more pass (Duckworth et al. 2019).
        decoded = self.decoder(self.embed(words), lengths, memory, state, covering=self.covering)
        guesses = self.project(decoded.output).argmax(-1)  # (B, T)
        replaced = torch.rand(words[:, 1:].shape, device=words.device) < self.scheduled_sampling
        return torch.cat([words[:, :1], torch.where(replaced, guesses[:, :-1], words[:, 1:])], dim=1)


class Seq2SeqSummarizer(Seq2Seq):
    """Shortens a text: a `Seq2Seq` that copies (pointer-generator) and covers, and is chosen by ROUGE.

    >>> summarizer = zoo.from_pretrained("titles-en-acl")  # in lower case
    >>> titles = summarizer.predict(abstracts)

    Its arguments are those of `Seq2Seq`; attention is additive. It reads a text as one: a summary of each sentence
    would be no summary.
    """

    defaults = {"attention": "additive", "copy": True, "coverage": True, "metric": "rouge", "unit": "text"}
