"""The sequence tagger: embedding, recurrent backbone, and a softmax or CRF over the tags of each token.

Words and characters below a bidirectional LSTM after Ling et al. (2015) and Lample et al. (2016).

Shapes: B sentences, T tokens, U distinct forms, X embedding features, D * H backbone outputs, K tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from zoo.batches.bucketing import group_by_length, group_for_prediction
from zoo.batches.tagging import TaggingBatch, TaggingInputs, place_forms
from zoo.codecs import TaggingCodec
from zoo.errors import ZooError, unknown_name
from zoo.masks import padding_mask
from zoo.metrics.tagging import TaggingMetrics
from zoo.models.base import ZooModule
from zoo.models.inputs import check_sentences
from zoo.models.options import CharacterOptions, OptimizerOptions, RegularizationOptions
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import RecurrentOptions
from zoo.nn.crf import FORBIDDEN, LinearChainCRF
from zoo.nn.dropout import LockedDropout
from zoo.nn.embeddings import FormEmbedding, gather_forms
from zoo.nn.form_cache import FormCache
from zoo.nn.losses import LanguageModelingLoss, adversarial_perturbation, ensure_gradient
from zoo.text import UNKNOWN_ID
from zoo.text.tag_schemes import transitions
from zoo.threads import map_in_threads

HEADS = ("softmax", "crf")
CHARACTERS = 16_384  # of forms that `predict` composes at once, padding included


class SequenceTagger(ZooModule):
    """Tags each token of a sentence.

    >>> tagger = zoo.from_pretrained("pos-en-ewt")
    >>> tagger.predict(["I saw her duck ."])
    [['PRON', 'VERB', 'PRON', 'NOUN', 'PUNCT']]

    Args:
        codec: how sentences become ids, and ids tags; a datamodule fits one (`TaggingDataModule(...).codec`).
        cell: the backbone's cell, a key of `zoo.CELLS`.
        hidden_size: H, its units per layer and direction.
        num_layers: its layers.
        bidirectional: whether it reads in both directions.
        embedding_size: features of a word's own embedding.
        characters: how words are composed of their characters. Where tokens are characters themselves
            (`codec.tokenizer` is "characters") nothing is composed.
        tune_vectors: whether training changes imported vectors.
        dropout: probability of zeroing a feature before, between and after the recurrent layers.
        recurrent: further options of the recurrent layers over the sentence, not of those over characters.
        head: "softmax", each token by itself, or "crf", the best legal sequence.
        regularization: token dropout (the characters of a dropped word stay), label smoothing (softmax alone), and
            adversarial training.
        language_model_weight: weight of a second task in training, in which each direction predicts the word that it
            reads next (Rei 2017); 0 for none. It needs num_layers=1: a second layer has read that word already.
        optimizer: AdamW and its schedule.

    Raises:
        ZooError: an unknown cell or head (the known ones are listed), or an argument that the chosen head or number of
            layers does not support.
    """

    unit = "sentence"
    codec: TaggingCodec
    metrics: Mapping[str, TaggingMetrics]

    def __init__(
        self,
        codec: TaggingCodec | Mapping[str, Any],
        *,
        cell: str = "lstm",
        hidden_size: int = 256,
        num_layers: int = 2,
        bidirectional: bool = True,
        embedding_size: int = 128,
        characters: CharacterOptions = CharacterOptions(),
        tune_vectors: bool = False,
        dropout: float = 0.4,
        recurrent: RecurrentOptions = RecurrentOptions(),
        head: str = "softmax",
        regularization: RegularizationOptions = RegularizationOptions(token_dropout=0.2),
        language_model_weight: float = 0.0,
        optimizer: OptimizerOptions = OptimizerOptions(learning_rate=3e-3),
    ):
        super().__init__()
        self.save_arguments(locals())
        self.codec = codec = TaggingCodec.of(codec)
        self.regularization = regularization = RegularizationOptions.of(regularization)
        self.use_optimizer(OptimizerOptions.of(optimizer))
        if head not in HEADS:
            raise unknown_name("head", head, HEADS)
        if head == "crf" and regularization.label_smoothing:
            raise ZooError("label_smoothing belongs to the softmax head: leave it out, or use head='softmax'")
        if language_model_weight < 0:
            raise ZooError(f"expected a language_model_weight of at least 0, got {language_model_weight}")
        if language_model_weight and num_layers > 1:
            raise ZooError("language_model_weight needs num_layers=1: a second layer has read the word to predict")
        characters = CharacterOptions.of(characters)
        self.embedding = FormEmbedding(
            len(codec.words),
            len(codec.characters),
            num_vectors=len(codec.vector_words),
            word_size=embedding_size,
            character_size=characters.embedding_size,
            character_output=0 if codec.tokenizer == "characters" else characters.output_size,
            character_encoder=characters.encoder,
            vector_size=codec.vector_size,
            tune_vectors=tune_vectors,
            word_dropout=regularization.token_dropout,
        )
        self._cache = FormCache()
        self.dropout = LockedDropout(dropout)
        self.backbone = RecurrentBackbone(
            self.embedding.output_size,
            hidden_size,
            cell=cell,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            options=RecurrentOptions.of(recurrent),
        )
        self.head = nn.Linear(self.backbone.output_size, len(codec.tags))
        self.crf = None
        if head == "crf":
            legal = transitions(codec.tags, codec.scheme) if codec.scheme else None
            self.crf = LinearChainCRF(len(codec.tags), legal)
        self.language_model_weight = language_model_weight
        self.neighbours = None
        if language_model_weight:
            self.neighbours = LanguageModelingLoss(
                hidden_size, len(codec.words), embedding_size, bidirectional=bidirectional
            )
        self.monitor = "val/span_f1" if codec.scheme else "val/accuracy"
        self.use_metrics(lambda: TaggingMetrics(list(codec.tags), codec.scheme))

    def import_vectors(self, table: Tensor) -> None:
        """Copies imported vectors `(len(codec.vector_words) - 2, codec.vector_size)`, without the special entries."""
        self.embedding.import_vectors(table)

    def forward(self, inputs: TaggingInputs) -> Tensor:
        """The score of each tag at each position: sentences -> `(B, T, K)`."""
        return self.score(self.embedding(inputs.forms), inputs.form_ids, inputs.lengths)

    def score(self, forms: Tensor, form_ids: Tensor, lengths: Tensor) -> Tensor:
        """Embedded forms `(U, X)`, the form of each token `form_ids (B, T)` and `lengths (B,)` -> `(B, T, K)`."""
        scores: Tensor = self.head(self.encode(forms, form_ids, lengths))
        return scores

    def encode(self, forms: Tensor, form_ids: Tensor, lengths: Tensor) -> Tensor:
        """The arguments of `score` -> the outputs of the backbone, `(B, T, D * H)`, which the head reads."""
        x = self.dropout(gather_forms(forms, form_ids))  # (B, T, X)
        sequence: Tensor = self.dropout(self.backbone(x, lengths).sequence)
        return sequence

    def loss(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Mean negative log-likelihood per token.

        Tags that training never had do not count (softmax), nor do sentences whose gold breaks its scheme (CRF).
        """
        if self.crf is not None:
            log_likelihood: Tensor = self.crf(scores, tags.clamp(max=len(self.codec.tags) - 1), lengths)  # (B,)
            # Gold tags that break their scheme have probability 0. There is nothing to learn from them.
            legal = log_likelihood > FORBIDDEN / 2  # (B,)
            return -log_likelihood.masked_fill(~legal, 0.0).sum() / (lengths * legal).sum().clamp(min=1)
        counted = padding_mask(lengths, tags.shape[1]) & (tags < len(self.codec.tags))  # (B, T)
        targets = tags.masked_fill(~counted, -100)
        smoothing = self.regularization.label_smoothing
        return F.cross_entropy(scores.float().flatten(0, 1), targets.flatten(), label_smoothing=smoothing)

    def decode(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The best tags: `(B, T, K)` -> `(B, T)`."""
        return scores.argmax(-1) if self.crf is None else self.crf.decode(scores, lengths)

    def training_step(self, batch: TaggingBatch, _: int) -> Tensor:
        inputs, tag_ids = batch.inputs, batch.tag_ids
        forms = self.embedding(inputs.forms)  # (U, X)
        distance = self.regularization.adversarial
        if distance:
            forms = ensure_gradient(forms)
        sequence = self.encode(forms, inputs.form_ids, inputs.lengths)  # (B, T, D * H)
        loss = self.loss(self.head(sequence), tag_ids, inputs.lengths)
        if distance:
            worse = forms + adversarial_perturbation(loss, forms, distance)
            worst = self.loss(self.score(worse, inputs.form_ids, inputs.lengths), tag_ids, inputs.lengths)
            loss = (loss + worst) / 2
        if self.neighbours is not None:
            word_ids = inputs.forms.word_ids[inputs.form_ids]  # (B, T)
            second = self.neighbours(sequence, word_ids, inputs.lengths, self.embedding.words.weight)
            loss = loss + self.language_model_weight * second
        return loss

    def _evaluate(self, stage: str, batch: TaggingBatch) -> None:
        inputs = batch.inputs
        scores = self(inputs)
        unknown = (inputs.forms.word_ids == UNKNOWN_ID)[inputs.form_ids]  # (B, T)
        self.metrics[stage].update(self.decode(scores, inputs.lengths), batch.tag_ids, inputs.lengths, unknown)
        loss = self.loss(scores, batch.tag_ids, inputs.lengths)
        self.log(f"{stage}/loss", loss, batch_size=int(inputs.lengths.sum()), on_epoch=True, sync_dist=True)

    def _answers(self, inputs: TaggingInputs) -> list[list[str]]:
        best = self.decode(self(inputs), inputs.lengths).tolist()
        tags = list(self.codec.tags)
        return [[tags[i] for i in ids[:length]] for ids, length in zip(best, inputs.lengths.tolist(), strict=True)]

    @torch.inference_mode()
    def predict(self, inputs: Sequence[str | Sequence[str]], *, max_tokens: int = 4096) -> list[list[str]]:
        """Tags sentences, in the given order, on the device and under the autocast that are in force.

        Args:
            inputs: sentences, as strings or as lists of tokens. An empty one gives an empty list in its place. Several
                sentences in one input are tagged as one long sentence, slightly worse than each by itself.
            max_tokens: the token budget of a batch; as many batches are in work as torch has threads. Memory grows with
                both, results do not change.

        Returns:
            A list of tags for each input, as long as its tokens.

        Raises:
            ZooError: inputs that are no sentences, or a token that is empty.
        """
        sentences = [self.codec.tokenize(item) if isinstance(item, str) else item for item in check_sentences(inputs)]
        tags: list[list[str]] = [[] for _ in sentences]
        lengths = [len(sentence) for sentence in sentences]
        rows = [row for row, length in enumerate(lengths) if length]
        if not rows:
            return tags
        model = self.in_evaluation()
        tags_of_ids = list(self.codec.tags)
        forms: dict[str, int] = {}
        positions = place_forms(sentences, forms)
        table = model._embed(list(forms))  # (U, X)

        def tag(rows: list[int]) -> None:
            tokens = pad_sequence([positions[row] for row in rows], batch_first=True).to(model.device)  # (B, T)
            on_device = torch.tensor([lengths[row] for row in rows], device=model.device)  # (B,)
            best = model.decode(model.score(table, tokens, on_device), on_device).tolist()
            for row, ids in zip(rows, best, strict=True):
                tags[row] = [tags_of_ids[i] for i in ids[: lengths[row]]]

        map_in_threads(tag, group_for_prediction(lengths, max_tokens, model.device, rows), model.device)
        return tags

    def _embed(self, forms: list[str]) -> Tensor:
        """Distinct forms -> `(U, X)`; what is composed of characters may be from an earlier call."""
        composed = None
        if self.embedding.characters is not None:
            composed = self._cache.vectors(self.embedding.characters, forms, self._compose)  # (U, E)
        words, vectors = self.codec.indexer.ids(forms)
        return self.embedding.join(words.to(self.device), vectors.to(self.device), composed)

    def _compose(self, encoder: nn.Module, forms: list[str]) -> Tensor:
        """Distinct forms -> what an encoder composes of their characters, `(U, E)`."""
        batches = group_by_length([len(form) for form in forms], max_tokens=CHARACTERS)

        def compose(rows: list[int]) -> Tensor:
            characters, lengths = self.codec.indexer.spell([forms[row] for row in rows])
            composed: Tensor = encoder(characters.to(self.device), lengths.to(self.device))
            return composed

        parts = map_in_threads(compose, batches, self.device)
        order = torch.tensor([row for rows in batches for row in rows], device=self.device)  # (U,)
        return torch.cat(parts)[order.argsort()]
