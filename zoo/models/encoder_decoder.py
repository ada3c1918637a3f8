"""The network of a sequence-to-sequence model: it encodes sources, and follows known targets (teacher forcing).

Shapes: B pairs, S source positions, T target positions, N target tokens, V target words, E features of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.batches.seq2seq import Seq2SeqBatch, Seq2SeqInputs
from zoo.masks import padding_mask
from zoo.models.generator import TextGenerator
from zoo.models.options import AttentionOptions, Seq2SeqRegularization
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.decoder import AttentionDecoder, Decoded, DecoderState, Memory
from zoo.nn.dropout import LockedDropout
from zoo.nn.embeddings import ImportedVectors
from zoo.nn.losses import WriterLosses, token_log_probability
from zoo.nn.pointer import Pointer
from zoo.text import UNKNOWN_ID
from zoo.text.reversible import BEGIN_ID


class EncoderDecoder(TextGenerator):
    """What a sequence-to-sequence model computes. The constructor of a subclass sets the attributes.

    Attributes:
        embeddings: the first one is that of targets, the last one that of sources. A shared vocabulary has one.
        vectors: imported vectors of source words, if there are any.
        output: the output layer; None if its weights are the target embeddings.
        pointer: copies words of the source, if the model may.
    """

    attention_options: AttentionOptions
    regularization: Seq2SeqRegularization
    embeddings: Sequence[nn.Embedding]
    vectors: ImportedVectors | None
    encoder: RecurrentBackbone
    decoder: AttentionDecoder
    output: nn.Linear | None
    output_bias: nn.Parameter
    pointer: Pointer | None
    dropout: LockedDropout

    @property
    def covering(self) -> bool:
        """Whether coverage is on. In training it starts after `attention.coverage_after` steps."""
        started = not self.training or self.global_step >= self.attention_options.coverage_after
        return self.attention_options.coverage and started

    def forward(self, inputs: Seq2SeqInputs) -> tuple[Memory, DecoderState]:
        """Encodes the sources into what the decoder attends to, and into its state before the first step."""
        return self.encode(self.embed_source(inputs), inputs)

    def embed_source(self, inputs: Seq2SeqInputs) -> Tensor:
        """Embeds the pieces of the sources: `(B, S, E)`, or E and the imported features."""
        x: Tensor = self.embeddings[-1](inputs.source_ids)  # (B, S, E)
        if self.vectors is not None:
            x = torch.cat([x, self.vectors(inputs.vector_ids)], dim=-1)  # (B, S, E and imported features)
        return x

    def encode(self, x: Tensor, inputs: Seq2SeqInputs) -> tuple[Memory, DecoderState]:
        """What `forward` returns, from the embedded pieces `x` that `embed_source` returns for `inputs`."""
        encoded = self.encoder(self.dropout(x), inputs.source_lengths)
        mask = padding_mask(inputs.source_lengths, x.shape[1])  # (B, S)
        return self.decoder.remember(encoded, mask, inputs.copy_ids), self.decoder.start(encoded)

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeds ids of the extended target vocabulary, those outside the vocabulary as unknown: `(*, E)`."""
        known = len(self.embeddings[0].weight)
        embedded: Tensor = self.embeddings[0](tokens.masked_fill(tokens >= known, UNKNOWN_ID))
        return embedded

    def project(self, output: Tensor) -> Tensor:
        """Scores each target word: outputs of the decoder `(*, E)` -> `(*, V)`."""
        weight = self.embeddings[0].weight if self.output is None else self.output.weight
        return F.linear(output, weight, self.output_bias)

    def follow(self, batch: Seq2SeqBatch) -> tuple[Decoded, Tensor, Memory]:
        """Runs the decoder over known targets (teacher forcing): each step reads the token before its target.

        Returns:
            The results at each position, with dropout on the output; the inputs `(B, T, E)`; the encoded sources.
        """
        memory, state = self(batch.inputs)
        decoded, x = self.follow_targets(batch, memory, state)
        return decoded, x, memory

    def follow_targets(self, batch: Seq2SeqBatch, memory: Memory, state: DecoderState) -> tuple[Decoded, Tensor]:
        """What `follow` returns of the targets of a batch, whose sources are encoded: the results and the inputs."""
        begin = torch.full_like(batch.target_ids[:, :1], BEGIN_ID)
        tokens = torch.cat([begin, batch.target_ids[:, :-1]], dim=1)  # (B, T)
        if self.training and self.regularization.scheduled_sampling:
            tokens = self._guessed(tokens, batch.target_lengths, memory, state)
        x = self.dropout(self.embed(tokens))  # (B, T, E)
        decoded = self.decoder(x, batch.target_lengths, memory, state, covering=self.covering)
        return decoded._replace(output=self.dropout(decoded.output)), x

    def log_probability(
        self, batch: Seq2SeqBatch, decoded: Decoded, x: Tensor, memory: Memory
    ) -> tuple[Tensor, Tensor]:
        """The log-probability of each of the N target tokens in nats `(N,)`, and the mean of that of all words `(N,)`.

        Args:
            batch: the targets.
            decoded, x, memory: what `follow` returns for the batch.
        """
        real = padding_mask(batch.target_lengths, batch.target_ids.shape[1])  # (B, T)
        target = batch.target_ids[real]  # (N,)
        is_outside = target >= len(self.output_bias)  # (N,)
        # This is the largest product of a step, so padding is left out.
        scores = self.project(decoded.output[real])  # (N, V)
        known = target.masked_fill(is_outside, UNKNOWN_ID)  # (N,)
        log_probability, mean_of_words = token_log_probability(scores, known)  # (N,)
        if self.pointer is not None:
            # A token outside the vocabulary can only be copied.
            generated = log_probability.masked_fill(is_outside, torch.finfo(torch.float32).min / 2)
            generated = generated.new_zeros(real.shape).masked_scatter(real, generated)  # (B, T)
            log_probability = self.pointer(decoded, x, generated, memory.copies, batch.target_ids)[real]  # (N,)
        return log_probability, mean_of_words

    def losses(self, batch: Seq2SeqBatch) -> WriterLosses:
        """The losses of a batch, over its N target tokens. The coverage loss is equation 12 of See et al. (2017)."""
        decoded, x, memory = self.follow(batch)
        log_probability, mean_of_words = self.log_probability(batch, decoded, x, memory)  # (N,)
        real = padding_mask(batch.target_lengths, batch.target_ids.shape[1])  # (B, T)
        overlap = torch.minimum(decoded.weights, decoded.coverage).sum(-1)[real]  # (N,)
        smoothing = self.regularization.label_smoothing
        return WriterLosses.of(log_probability, mean_of_words, overlap, label_smoothing=smoothing)

    @torch.no_grad()
    def _guessed(self, tokens: Tensor, lengths: Tensor, memory: Memory, state: DecoderState) -> Tensor:
        """Scheduled sampling (Bengio et al. 2015) at all positions in one further pass (Duckworth et al. 2019)."""
        decoded = self.decoder(self.embed(tokens), lengths, memory, state, covering=self.covering)
        guesses = self.project(decoded.output).argmax(-1)  # (B, T)
        replaced = torch.rand(tokens[:, 1:].shape, device=tokens.device) < self.regularization.scheduled_sampling
        return torch.cat([tokens[:, :1], torch.where(replaced, guesses[:, :-1], tokens[:, 1:])], dim=1)
