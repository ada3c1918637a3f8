"""The text classifier: embedding, recurrent backbone, pooling over time, and a score for each label.

Shapes: B texts, T tokens, X embedding features, D * H backbone outputs, P poolings, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn

from zoo.batches.bucketing import group_for_prediction
from zoo.batches.classification import ClassificationBatch, ClassificationInputs, Texts
from zoo.codecs import ClassificationCodec
from zoo.errors import ZooError
from zoo.metrics.classification import ClassificationMetrics
from zoo.models.base import ZooModule
from zoo.models.inputs import check_texts
from zoo.models.options import OptimizerOptions, RegularizationOptions
from zoo.models.out_of_memory import splitting, training_in_parts
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import RecurrentOptions
from zoo.nn.cells.precision import at_least_fp32
from zoo.nn.dropout import LockedDropout
from zoo.nn.embeddings import WordEmbedding
from zoo.nn.losses import adversarial_mean, check_class_weights, ensure_gradient, label_loss
from zoo.nn.pooling import Pooled, Pooling
from zoo.threads import map_in_threads


class TextClassifier(ZooModule):
    """Predicts the label of a text, or several labels, and the probability of every label.

    >>> classifier = zoo.from_pretrained("sentiment-en-sst2")
    >>> [result["label"] for result in classifier.predict(["a gripping , tender film"])]
    ['positive']

    To change one option and keep the other defaults of this model, replace it in the default options:
    `dataclasses.replace(TextClassifier.REGULARIZATION, adversarial=0.1)`.

    Args:
        codec: turns texts into ids, and lists the labels. A datamodule fits it
            (`ClassificationDataModule(...).codec`).
        cell: the cell of the backbone, a key of `zoo.CELLS`.
        hidden_size: H, the units of the backbone per layer and direction.
        num_layers: the number of recurrent layers of the backbone.
        bidirectional: whether the backbone reads in both directions.
        embedding_size: the features of a token embedding.
        tune_vectors: whether training changes the imported vectors.
        pooling: reduces the hidden states of all tokens to one vector: "last", "mean", "max" or "attention", or several
            of them joined by "+" (see `zoo.nn.pooling.Pooling`).
        head_size: the units of a hidden layer with ReLU between the pooled vector and the scores; 0 for no such layer.
        dropout: probability of zeroing a feature before, between and after the recurrent layers, and in the head.
        recurrent: further options of the backbone.
        regularization: token dropout, label smoothing (towards 1/2 if a text may have several labels) and adversarial
            training, whose perturbation is scaled for each text.
        class_weights: the weight of each label in the loss, in the order of `codec.labels`. If a text may have several
            labels, it is the weight of a text that has the label, relative to 1 for a text that does not. Without
            weights, all labels count equally.
        optimizer: AdamW and its schedule.

    Raises:
        ZooError: an unknown cell or pooling (the known ones are listed), a negative head_size, or wrong class weights.
    """

    REGULARIZATION = RegularizationOptions(token_dropout=0.1)
    OPTIMIZER = OptimizerOptions(learning_rate=2e-3)
    unit = "text"
    codec: ClassificationCodec
    metrics: Mapping[str, ClassificationMetrics]
    temperature: Tensor  # (), divides the scores before they become probabilities
    class_weights: Tensor | None  # (K,)

    def __init__(
        self,
        codec: ClassificationCodec | Mapping[str, Any],
        *,
        cell: str = "lstm",
        hidden_size: int = 200,
        num_layers: int = 1,
        bidirectional: bool = True,
        embedding_size: int = 200,
        tune_vectors: bool = False,
        pooling: str = "mean+max",
        head_size: int = 0,
        dropout: float = 0.5,
        recurrent: RecurrentOptions = RecurrentOptions(),
        regularization: RegularizationOptions = REGULARIZATION,
        class_weights: Sequence[float] = (),
        optimizer: OptimizerOptions = OPTIMIZER,
    ):
        super().__init__()
        self.save_arguments(locals())
        self.codec = codec = ClassificationCodec.of(codec)
        self.regularization = regularization = RegularizationOptions.of(regularization)
        self.use_optimizer(OptimizerOptions.of(optimizer))
        check_class_weights(class_weights, len(codec.labels))
        if head_size < 0:
            raise ZooError(f"expected a head_size of at least 0, got {head_size}")
        self.embedding = WordEmbedding(
            len(codec.vocabulary),
            num_vectors=len(codec.vector_words),
            word_size=embedding_size,
            vector_size=codec.vector_size,
            tune_vectors=tune_vectors,
            word_dropout=regularization.token_dropout,
        )
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
        self.pooling = Pooling(pooling, self.backbone.output_size)
        pooled_size = self.pooling.output_size
        hidden = [LockedDropout(dropout), nn.Linear(pooled_size, head_size), nn.ReLU()] if head_size else []
        scores = nn.Linear(head_size or pooled_size, len(codec.labels))
        self.head = nn.Sequential(*hidden, LockedDropout(dropout), scores)
        self.register_buffer("temperature", torch.ones(()))
        weights = torch.tensor(class_weights, dtype=torch.float) if class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)
        self.monitor = "val/macro_f1"
        self.use_metrics(
            lambda: ClassificationMetrics(list(codec.labels), codec.positive, multi_label=codec.multi_label)
        )

    @property
    def indexed(self) -> dict[str, tuple[str, ...]]:
        last = len(self.head) - 1
        return {
            "embedding.words.weight": ("vocabulary",),
            "embedding.vectors.weight": ("vector_words",),
            f"head.{last}.weight": ("labels",),
            f"head.{last}.bias": ("labels",),
        }

    def forward(self, inputs: ClassificationInputs) -> Tensor:
        """Scores each label, before the softmax or sigmoid: texts -> `(B, K)`."""
        return self.score(self.encode(inputs).vectors)

    def encode(self, inputs: ClassificationInputs) -> Pooled:
        """The pooled vector of each text `(B, P * D * H)`, and with pooling by attention the weights of its tokens."""
        x = self.embedding(inputs.word_ids, inputs.vector_ids)  # (B, T, X)
        return self.pool(x, inputs.lengths)

    def pool(self, x: Tensor, lengths: Tensor) -> Pooled:
        """What `encode` returns, from embedded tokens `x (B, T, X)` and `lengths (B,)`."""
        outputs = self.backbone(self.dropout(x), lengths)  # (B, T, D * H)
        pooled: Pooled = self.pooling(outputs, lengths)
        return pooled

    def score(self, vectors: Tensor) -> Tensor:
        """Scores each label: pooled vectors `(B, P * D * H)` -> `(B, K)`.

        Autocast is disabled here, because it makes a product of this size slower.
        """
        with torch.autocast(vectors.device.type, enabled=False):
            # The buffer has the precision of the other weights. The weights of a quantized head do not have it.
            scores: Tensor = self.head(vectors.to(self.temperature.dtype))
        return scores

    def loss(self, scores: Tensor, gold: Tensor) -> Tensor:
        """Mean cross-entropy per text; if a text may have several labels, mean binary cross-entropy per label.

        Args:
            scores: `(B, K)`.
            gold: as in a `ClassificationBatch`.
        """
        return label_loss(
            at_least_fp32(scores),
            gold,
            class_weights=self.class_weights,
            label_smoothing=self.regularization.label_smoothing,
            multi_label=self.codec.multi_label,
        )

    def loss_count(self, batch: ClassificationBatch) -> Tensor:
        """The number of texts, or the sum of the weights of their labels, `()`."""
        if self.class_weights is None or self.codec.multi_label:
            return super().loss_count(batch)
        return at_least_fp32(self.class_weights)[batch.gold].sum()

    def first_text(self, batch: ClassificationBatch) -> str:
        word_ids = batch.inputs.word_ids[0, : batch.inputs.lengths[0]]
        return " ".join(self.codec.vocabulary[i] for i in word_ids.tolist())

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores to probabilities, both `(B, K)`, at the temperature fitted on dev (Guo et al. 2017)."""
        scores = at_least_fp32(scores) / self.temperature
        return scores.sigmoid() if self.codec.multi_label else scores.softmax(-1)

    @training_in_parts
    def training_step(self, batch: ClassificationBatch, _: int) -> Tensor:
        inputs, gold = batch.inputs, batch.gold
        x = self.embedding(inputs.word_ids, inputs.vector_ids)  # (B, T, X)
        distance = self.regularization.adversarial

        def loss_of(x: Tensor) -> Tensor:
            return self.loss(self.score(self.pool(x, inputs.lengths).vectors), gold)

        if not distance:
            return loss_of(x)
        x = ensure_gradient(x)
        return adversarial_mean(loss_of(x), x, distance, loss_of)

    def _evaluate(self, stage: str, batch: ClassificationBatch) -> None:
        scores = self(batch.inputs)
        loss = self.loss(scores, batch.gold)
        self.metrics[stage].update(scores, batch.gold, batch.rows)
        self.record_loss(stage, loss, batch)

    def on_validation_epoch_end(self) -> None:
        # The temperature is fitted here so that each checkpoint contains the one of its own weights.
        if self.trainer.state.fn == "fit":
            self.temperature.fill_(self.metrics["val"].best_temperature())
        super().on_validation_epoch_end()

    def _report(self, stage: str) -> None:
        self.metrics[stage].temperature = float(self.temperature)
        super()._report(stage)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        # With an average of the weights, these are the averaged ones, with the temperature of an earlier epoch.
        checkpoint["state_dict"]["temperature"] = self.temperature.clone()

    def _answers(self, inputs: ClassificationInputs) -> list[dict[str, Any]]:
        return [self.codec.answer(of_labels) for of_labels in self.probabilities(self(inputs)).tolist()]

    def predict(self, texts: Sequence[str], *, max_tokens: int = 4096) -> list[dict[str, Any]]:
        """Classifies texts on the model's device, under the autocast that is active.

        Args:
            texts: strings of any number of sentences. An empty text is classified too. A text with more than
                `codec.max_length` tokens is truncated as `codec.truncate` says.
            max_tokens: the token budget of a batch, padding included. On a CPU, as many batches as torch has threads
                are processed at once. A larger budget needs more memory and does not change the results.

        Returns:
            For each text, in the given order, a dictionary with its "label" ("labels" if it may have several) and the
            "probabilities" of all labels.

        Raises:
            ZooError: an input is not a text.
        """
        return self._classify(check_texts(texts), max_tokens)

    @torch.inference_mode()
    def _classify(self, texts: Sequence[str], max_tokens: int) -> list[dict[str, Any]]:
        encoded = Texts.of([self.codec.preprocessor(text) for text in texts], self.codec.indexer)
        model = self.in_evaluation()

        def classify(rows: list[int]) -> list[dict[str, Any]]:
            return model._answers(move_data_to_device(encoded.inputs(rows), model.device))

        batches = group_for_prediction(encoded.lengths, max_tokens, model.device)
        answers: dict[int, dict[str, Any]] = {}
        for rows, parts in zip(batches, map_in_threads(splitting(classify), batches, model.device), strict=True):
            answers.update(zip(rows, chain.from_iterable(parts), strict=True))
        return [answers[row] for row in range(len(texts))]
