"""The sequence tagger: embedding, recurrent backbone, and a softmax or CRF over the tags of each token.

The embedding of words and of their characters follows Ling et al. (2015) and Lample et al. (2016).

Shapes: B sentences, T tokens, U distinct forms, X embedding features, D * H backbone outputs, K tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.batches.bucketing import group_for_prediction
from zoo.batches.context import Context
from zoo.batches.tagging import TaggingBatch, TaggingInputs, place_forms
from zoo.codecs import TaggingCodec
from zoo.errors import ZooError, unknown_name
from zoo.masks import padding_mask, zero_padding
from zoo.metrics.tagging import TaggingMetrics
from zoo.models.contextual import ContextualTagger, LanguageModels, plain_arguments
from zoo.models.form_embeddings import embed_forms
from zoo.models.options import CharacterOptions, OptimizerOptions, RegularizationOptions
from zoo.models.out_of_memory import splitting, training_in_parts
from zoo.models.union import divisor
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import RecurrentOptions
from zoo.nn.cells.precision import at_least_fp32
from zoo.nn.crf import LinearChainCRF
from zoo.nn.dropout import LockedDropout
from zoo.nn.embeddings import FormEmbedding, gather_forms
from zoo.nn.form_cache import FormCache
from zoo.nn.losses import LanguageModelingLoss, adversarial_mean, ensure_gradient
from zoo.nn.sentence_losses import sentence_losses
from zoo.text import UNKNOWN_ID
from zoo.text.tag_schemes import transitions
from zoo.threads import map_in_threads

HEADS = ("softmax", "crf")


class SequenceTagger(ContextualTagger):
    """Predicts a tag for each token of a sentence.

    >>> tagger = zoo.from_pretrained("pos-en-ewt")
    >>> tagger.predict(["I saw her duck ."])
    [['PRON', 'VERB', 'PRON', 'NOUN', 'PUNCT']]

    To change one option and keep the other defaults of this model, replace it in the default options:
    `dataclasses.replace(SequenceTagger.REGULARIZATION, adversarial=0.1)`.

    Args:
        codec: turns sentences into ids, and ids into tags. A datamodule fits it (`TaggingDataModule(...).codec`).
        cell: the cell of the backbone, a key of `zoo.CELLS`.
        hidden_size: H, the units of the backbone per layer and direction.
        num_layers: the number of recurrent layers of the backbone.
        bidirectional: whether the backbone reads in both directions.
        embedding_size: the features of a word embedding.
        characters: options of the character encoder. The model has no such encoder if its tokens are characters
            (`codec.tokenizer` is "characters").
        tune_vectors: whether training changes the imported vectors.
        context: language models whose states are further features of each token; those of `codec.context`, in its
            order. Their weights become a part of this model, and are not trained.
        dropout: probability of zeroing a feature before, between and after the recurrent layers.
        recurrent: further options of the backbone; they do not apply to the character encoder.
        head: "softmax" predicts each tag independently, "crf" the best legal sequence of tags.
        regularization: token dropout (the characters of a dropped word are kept), label smoothing (only with the
            softmax head) and adversarial training.
        language_model_weight: weight of a second loss in training: each direction predicts the next word that it reads
            (Rei 2017). 0 turns it off. It needs num_layers=1, because a second layer would already have seen that word.
        optimizer: AdamW and its schedule.

    Raises:
        ZooError: an unknown cell or head (the known ones are listed), or an argument that the chosen head or number of
            layers does not support.
    """

    REGULARIZATION = RegularizationOptions(token_dropout=0.2)
    OPTIMIZER = OptimizerOptions(learning_rate=3e-3)
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
        context: LanguageModels = (),
        dropout: float = 0.4,
        recurrent: RecurrentOptions = RecurrentOptions(),
        head: str = "softmax",
        regularization: RegularizationOptions = REGULARIZATION,
        language_model_weight: float = 0.0,
        optimizer: OptimizerOptions = OPTIMIZER,
    ):
        super().__init__()
        self.save_arguments(locals() | {"context": plain_arguments(context)})
        self.codec = codec = TaggingCodec.of(codec)
        self.regularization = regularization = RegularizationOptions.of(regularization)
        self.use_optimizer(OptimizerOptions.of(optimizer))
        if head not in HEADS:
            raise unknown_name("head", head, HEADS)
        if head == "crf" and regularization.label_smoothing:
            raise ZooError("label_smoothing needs the softmax head: leave it out, or use head='softmax'")
        if language_model_weight < 0:
            raise ZooError(f"expected a language_model_weight of at least 0, got {language_model_weight}")
        if language_model_weight and num_layers > 1:
            raise ZooError(
                f"language_model_weight needs num_layers=1, got {num_layers}: a second layer would already have seen "
                "the word to predict"
            )
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
            self.embedding.output_size + self.use_context(codec, context),
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

    @property
    def indexed(self) -> dict[str, tuple[str, ...]]:
        return {
            "embedding.words.weight": ("words",),
            "embedding.vectors.weight": ("vector_words",),
            "embedding.characters.embedding.weight": ("characters",),
            "neighbours.bias": ("words",),
            "head.weight": ("tags",),
            "head.bias": ("tags",),
            "crf.start": ("tags",),
            "crf.end": ("tags",),
            "crf.transition": ("tags", "tags"),
        }

    def forward(self, inputs: TaggingInputs) -> Tensor:
        """Scores each tag at each position: sentences -> `(B, T, K)`."""
        return self.score(self.embedding(inputs.forms), inputs.form_ids, inputs.lengths, inputs.context)

    def score(self, forms: Tensor, form_ids: Tensor, lengths: Tensor, context: Context = ()) -> Tensor:
        """Scores each tag at each position, `(B, T, K)`.

        Args:
            forms: the embeddings of the distinct forms, `(U, X)`.
            form_ids: the form of each token, `(B, T)`.
            lengths: `(B,)`.
            context: what the language models read, or their states.
        """
        scores: Tensor = self.head(self.encode(forms, form_ids, lengths, context))
        return scores

    def encode(self, forms: Tensor, form_ids: Tensor, lengths: Tensor, context: Context = ()) -> Tensor:
        """The outputs of the backbone, which the head reads: the arguments of `score` -> `(B, T, D * H)`."""
        return self.read(self.join(gather_forms(forms, form_ids), context), lengths)

    def read(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Embedded tokens `x (B, T, X)` of sentences of `lengths (B,)` -> what `encode` returns."""
        sequence: Tensor = self.dropout(self.backbone(self.dropout(x), lengths).sequence)
        return sequence

    def loss(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Mean negative log-likelihood per token.

        The softmax head leaves out tokens whose gold tag is not in the training data. The CRF leaves out sentences
        whose gold tags break the scheme.
        """
        if self.crf is not None:
            return self.crf.loss(scores, self._known(tags), lengths)
        counted = self._is_counted(tags, lengths)
        targets = tags.masked_fill(~counted, -100)
        smoothing = self.regularization.label_smoothing
        scores = at_least_fp32(scores).flatten(0, 1)
        loss = F.cross_entropy(scores, targets.flatten(), label_smoothing=smoothing)
        # The mean over no tokens is NaN.
        return torch.where(counted.any(), loss, 0.0)

    def loss_count(self, batch: TaggingBatch) -> Tensor:
        """The tokens whose gold tags count in the loss, `()`."""
        tags, lengths = batch.tag_ids, batch.inputs.lengths
        if self.crf is not None:
            return (lengths * self.crf.allows(self._known(tags), lengths)).sum()
        return self._is_counted(tags, lengths).sum()

    def first_text(self, batch: TaggingBatch) -> str:
        inputs = batch.inputs
        word_ids = inputs.forms.word_ids[inputs.form_ids[0, : inputs.lengths[0]]]
        return " ".join(self.codec.words[i] for i in word_ids.tolist())

    def _known(self, tags: Tensor) -> Tensor:
        """Gold tags for the CRF, which has no id for tags that are not in the training data."""
        return tags.clamp(max=len(self.codec.tags) - 1)

    def _is_counted(self, tags: Tensor, lengths: Tensor) -> Tensor:
        """Whether a token counts in the loss of the softmax head, `(B, T)`."""
        return padding_mask(lengths, tags.shape[1]) & (tags < len(self.codec.tags))

    def decode(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The ids of the best tags: scores `(B, T, K)` -> `(B, T)`."""
        return scores.argmax(-1) if self.crf is None else self.crf.decode(scores, lengths)

    @training_in_parts
    def training_step(self, batch: TaggingBatch, _: int) -> Tensor:
        inputs, tag_ids = batch.inputs, batch.tag_ids
        x = self.join(gather_forms(self.embedding(inputs.forms), inputs.form_ids), inputs.context)  # (B, T, X)
        distance = self.regularization.adversarial
        if distance:
            # Padding would change the length of a sentence's embeddings.
            x = ensure_gradient(zero_padding(x, padding_mask(inputs.lengths, x.shape[1])))
        sequence = self.read(x, inputs.lengths)  # (B, T, D * H)
        loss = self.loss(self.head(sequence), tag_ids, inputs.lengths)
        if distance:
            loss = adversarial_mean(
                loss, x, distance, lambda x: self.loss(self.head(self.read(x, inputs.lengths)), tag_ids, inputs.lengths)
            )
        if self.neighbours is not None:
            word_ids = inputs.forms.word_ids[inputs.form_ids]  # (B, T)
            second = self.neighbours(sequence, word_ids, inputs.lengths, self.embedding.words.weight)
            loss = loss + self.language_model_weight * second / divisor(self.loss_count(batch))
        return loss

    def _evaluate(self, stage: str, batch: TaggingBatch) -> None:
        inputs = batch.inputs
        scores = self(inputs)
        unknown = (inputs.forms.word_ids == UNKNOWN_ID)[inputs.form_ids]  # (B, T)
        best = self.decode(scores, inputs.lengths)
        loss = self.loss(scores, batch.tag_ids, inputs.lengths)
        self.metrics[stage].update(best, batch.tag_ids, inputs.lengths, unknown)
        self.record_loss(stage, loss, batch)
        if self.outcomes is not None:
            losses = sentence_losses(self.crf, scores, batch.tag_ids, inputs.lengths)
            self.outcomes.add_tagged(batch.rows, losses, best, unknown, inputs.lengths)

    def _answers(self, inputs: TaggingInputs) -> list[list[str]]:
        best = self.decode(self(inputs), inputs.lengths).tolist()
        tags = list(self.codec.tags)
        return [[tags[i] for i in ids[:length]] for ids, length in zip(best, inputs.lengths.tolist(), strict=True)]

    @torch.inference_mode()
    def _tag(self, sentences: Sequence[Sequence[str]], max_tokens: int) -> list[list[str]]:
        """The tags of the tokens of each sentence."""
        tags: list[list[str]] = [[] for _ in sentences]
        lengths = [len(sentence) for sentence in sentences]
        rows = [row for row, length in enumerate(lengths) if length]
        if not rows:
            return tags
        model = self.in_evaluation()
        tags_of_ids = list(self.codec.tags)
        indexer = self.codec.indexer
        forms: dict[str, int] = {}
        positions = place_forms(sentences, forms)
        pieces = indexer.pieces(list(forms))
        table = embed_forms(model.embedding, list(forms), indexer, self._cache, model.device)  # (U, X)

        def tag(rows: list[int]) -> None:
            tokens = positions.padded(rows).to(model.device)  # (B, T)
            on_device = torch.tensor([lengths[row] for row in rows], device=model.device)  # (B,)
            context = model.read_context(pieces, positions.take(rows))
            best = model.decode(model.score(table, tokens, on_device, context), on_device).tolist()
            for row, ids in zip(rows, best, strict=True):
                tags[row] = [tags_of_ids[i] for i in ids[: lengths[row]]]

        map_in_threads(splitting(tag), group_for_prediction(lengths, max_tokens, model.device, rows), model.device)
        return tags
