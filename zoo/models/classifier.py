"""The text classifier: embedding, recurrent backbone, pooling over time, and a score for each label.

Shapes: B texts, T tokens, X embedding features, D * H backbone outputs, P poolings, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.batches.bucketing import group_for_prediction
from zoo.batches.classification import ClassificationBatch, ClassificationDataset
from zoo.batches.indexers import WordIndexer
from zoo.codec import Codec, classifier_codec
from zoo.errors import ZooError, unknown_name
from zoo.metrics.classification import ClassificationMetrics
from zoo.models.base import ZooModule
from zoo.models.inputs import check_texts
from zoo.nn.backbone import RecurrentBackbone
from zoo.nn.cells import RecurrentOptions
from zoo.nn.dropout import LockedDropout, check_probability
from zoo.nn.embeddings import WordEmbedding
from zoo.nn.losses import adversarial_perturbation, ensure_gradient
from zoo.nn.pooling import Pooled, Pooling
from zoo.text import Inventory, Preprocessor, Vocabulary, require_words
from zoo.threads import map_in_threads


class TextClassifier(ZooModule):
    """Gives a text one label, or several, and the probability of each.

    >>> classifier = zoo.from_pretrained("sentiment-en-sst2")
    >>> [result["label"] for result in classifier.predict(["a gripping , tender film"])]
    ['positive']

    Args:
        vocabulary: the tokens of the training split, `<pad>` and `<unk>` first.
        labels: its labels, two at least.
        multi_label: whether a text may have several labels, or none.
        positive: of two labels the one that ranking and F1 are about; by default the second.
        tokenizer: "words", "whitespace", "characters", "keras", "jieba" or "sentencepiece".
        pieces: the serialized `zoo.text.SentencePieceModel`, for the last.
        stop_words: tokens to leave out, in lower case.
        lowercase: whether tokens are looked up in lower case.
        skip_unknown: whether tokens that the vocabulary lacks are left out, and not read as unknown ones.
        max_length: tokens of a text that are read at most.
        truncate: which part of a longer text is read: its "head", its "tail", or "both" ends.
        start: whether a text begins with a token `zoo.text.START`.
        fill: where tokens `zoo.text.FILLING` make a shorter text `max_length` tokens long: "before" it, "after" it,
            or "nowhere". The model reads them as any other token: it is for models that were trained so.
        empty: what a text without a token is read as: one "unknown" token, or "nothing".
        vector_words: the words that imported vectors exist for, `<pad>` and `<unk>` first (`import_vectors`).
        vector_size: their number of features.
        tune_vectors: whether training changes them.
        embedding_size: features of a token's own embedding.
        cell: the backbone's cell, a key of `zoo.CELLS`.
        hidden_size: its units per layer and direction.
        num_layers: its layers.
        bidirectional: whether it reads in both directions.
        pooling: one or several, joined by "+", of "last", "mean", "max" and "attention".
        head_size: features of a hidden layer with ReLU between the pooled vector and the scores; 0 for none.
        dropout: probability of zeroing a feature before, between and after the recurrent layers.
        recurrent: further options of the recurrent layers.
        token_dropout: probability that a token is read as an unknown one.
        label_smoothing: share of the target spread over all labels.
        adversarial: how far, relative to their length, a text's embeddings are moved to where the loss grows fastest,
            for a second pass (Miyato et al. 2017); 0 for none. A step then takes twice as long.
        class_weights: how much a text of each label counts in the loss; with several labels a text, how much
            having the label counts against not having it. All alike when empty.
        learning_rate: the highest of the schedule.
        weight_decay: of the weight matrices, embeddings excepted.
        warmup: share of the steps in which the learning rate rises.

    Raises:
        ValueError: an unknown cell, pooling, tokenizer, truncation or positive label (the known ones are
            listed), fewer than two labels, wrong weights, or stop words or vectors with sentencepiece.
    """

    unit = "text"

    def __init__(
        self,
        vocabulary: Sequence[str],
        labels: Sequence[str],
        *,
        multi_label: bool = False,
        positive: str | None = None,
        tokenizer: str = "words",
        pieces: Sequence[str] = (),
        stop_words: Sequence[str] = (),
        lowercase: bool = True,
        skip_unknown: bool = False,
        max_length: int = 400,
        truncate: str = "head",
        start: bool = False,
        fill: str = "nowhere",
        empty: str = "unknown",
        vector_words: Sequence[str] = (),
        vector_size: int = 0,
        tune_vectors: bool = False,
        embedding_size: int = 200,
        cell: str = "lstm",
        hidden_size: int = 200,
        num_layers: int = 1,
        bidirectional: bool = True,
        pooling: str = "mean+max",
        head_size: int = 0,
        dropout: float = 0.5,
        recurrent: RecurrentOptions = RecurrentOptions(),
        token_dropout: float = 0.1,
        label_smoothing: float = 0.0,
        adversarial: float = 0.0,
        class_weights: Sequence[float] = (),
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
    ):
        super().__init__()
        vocabulary, labels, pieces, stop_words = list(vocabulary), list(labels), list(pieces), list(stop_words)
        vector_words, class_weights = list(vector_words), list(class_weights)
        options = RecurrentOptions.of(recurrent)
        recurrent = asdict(options)
        self.save_hyperparameters(logger=False)  # plain types; `settings` leaves out the long ones
        if len(labels) < 2 and not multi_label:
            raise ZooError(f"expected at least two labels to choose from, got {', '.join(labels) or 'none'}")
        possible = [weight for weight in class_weights if isinstance(weight, int | float) and 0 < weight < float("inf")]
        if class_weights and (possible != class_weights or len(possible) != len(labels)):
            raise ZooError(f"expected a class weight above 0 for each of {len(labels)} labels, got {class_weights}")
        for name, p in (("token_dropout", token_dropout), ("label_smoothing", label_smoothing)):
            check_probability(name, p)
        if head_size < 0 or adversarial < 0:
            raise ZooError(f"expected head_size and adversarial of at least 0, got {head_size} and {adversarial}")
        require_words(tokenizer, {"imported vectors": vector_words})
        binary = len(labels) == 2 and not multi_label
        if positive is not None and (not binary or positive not in labels):
            known = labels if binary else ["none, as there are not two labels to choose from: --model.positive null"]
            raise unknown_name("positive label (--model.positive)", positive, known)
        self.labels, self.multi_label = Inventory(labels), multi_label
        self.indexer = WordIndexer(Vocabulary(vocabulary), Vocabulary(vector_words), lowercase=lowercase)
        self.preprocess = Preprocessor(
            tokenizer,
            pieces=pieces,
            stop_words=stop_words,
            known=self.indexer.knows if skip_unknown else None,
            max_length=max_length,
            truncate=truncate,
            start=start,
            fill=fill,
            empty=empty,
        )
        self.embedding = WordEmbedding(
            len(vocabulary),
            num_vectors=len(vector_words),
            word_size=embedding_size,
            vector_size=vector_size,
            tune_vectors=tune_vectors,
            word_dropout=token_dropout,
        )
        self.dropout = LockedDropout(dropout)
        self.backbone = RecurrentBackbone(
            self.embedding.output_size,
            hidden_size,
            cell=cell,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            options=options,
        )
        self.pooling = Pooling(pooling, self.backbone.output_size)
        pooled = self.pooling.output_size
        hidden = [LockedDropout(dropout), nn.Linear(pooled, head_size), nn.ReLU()] if head_size else []
        scores = nn.Linear(head_size or pooled, len(labels))
        self.head = nn.Sequential(*hidden, LockedDropout(dropout), scores)
        self.label_smoothing, self.adversarial = label_smoothing, adversarial
        self.register_buffer("temperature", torch.ones(()))
        weights = torch.tensor(class_weights, dtype=torch.float) if class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)
        self.learning_rate, self.weight_decay, self.warmup = learning_rate, weight_decay, warmup
        self.monitor = "val/macro_f1"
        positive = (positive or labels[1]) if binary else None
        self.metrics = nn.ModuleDict(
            {stage: ClassificationMetrics(labels, positive, multi_label=multi_label) for stage in ("val", "test")}
        )

    @property
    def codec(self) -> Codec:
        return classifier_codec(self.indexer, self.preprocess, self.labels, self.multi_label)

    def import_vectors(self, table: Tensor) -> None:
        """Copies imported vectors: `(len(vector_words) - 2, vector_size)`, without the two special entries."""
        self.embedding.import_vectors(table)

    def forward(self, batch: ClassificationBatch) -> Tensor:
        """The score of each label, before the softmax or sigmoid: a batch -> `(B, K)`."""
        return self.score(self.encode(batch).vectors)

    def encode(self, batch: ClassificationBatch) -> Pooled:
        """A batch -> a vector for each text `(B, P * D * H)`, and the weights of its tokens where it has some."""
        return self.pool(self.embedding(batch.word_ids, batch.vector_ids), batch.lengths)

    def pool(self, x: Tensor, lengths: Tensor) -> Pooled:
        """Embedded tokens `x (B, T, X)` of texts of `lengths (B,)` -> as `encode`."""
        return self.pooling(self.backbone(self.dropout(x), lengths), lengths)

    def score(self, vectors: Tensor) -> Tensor:
        """Pooled vectors `(B, P * D * H)` -> as `forward`, without autocast, which slows so small a product down."""
        with torch.autocast(vectors.device.type, enabled=False):
            # The buffer has the precision of the weights, which those of a quantized head no longer tell.
            return self.head(vectors.to(self.temperature.dtype))

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy per text, binary for each label where a text may have several."""
        scores = scores.float()
        # A Trainer may hold weights and labels in another precision.
        weights = None if self.class_weights is None else self.class_weights.float()  # (K,)
        if not self.multi_label:
            return F.cross_entropy(scores, labels, weights, label_smoothing=self.label_smoothing)
        labels = labels.float()  # (B, K)
        labels = labels.lerp(torch.full_like(labels, 0.5), self.label_smoothing)
        return F.binary_cross_entropy_with_logits(scores, labels, pos_weight=weights)

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores -> probabilities, both `(B, K)`, by the temperature that made dev most likely."""
        scores = scores.float() / self.temperature
        return scores.sigmoid() if self.multi_label else scores.softmax(-1)

    def training_step(self, batch: ClassificationBatch, _) -> Tensor:
        x = self.embedding(batch.word_ids, batch.vector_ids)  # (B, T, X)
        if self.adversarial:
            x = ensure_gradient(x)
        loss = self.loss(self.score(self.pool(x, batch.lengths).vectors), batch.labels)
        if self.adversarial:
            worse = x + adversarial_perturbation(loss, x, self.adversarial, per_row=True)
            worst = self.loss(self.score(self.pool(worse, batch.lengths).vectors), batch.labels)
            loss = (loss + worst) / 2
        return loss

    def _evaluate(self, stage: str, batch: ClassificationBatch) -> None:
        scores = self(batch)
        self.metrics[stage].update(scores, batch.labels, batch.rows)
        loss = self.loss(scores, batch.labels)
        self.log(f"{stage}/loss", loss, batch_size=len(batch.lengths), on_epoch=True, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        # Each checkpoint has the temperature of its own weights.
        if self.trainer.state.fn == "fit":
            self.temperature.fill_(self.metrics["val"].best_temperature())
        super().on_validation_epoch_end()

    def _report(self, stage: str) -> None:
        self.metrics[stage].temperature = float(self.temperature)
        super()._report(stage)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        super().on_save_checkpoint(checkpoint)
        # A weight average, whose weights these are, knows only the temperature of an epoch before.
        checkpoint["state_dict"]["temperature"] = self.temperature.clone()

    def predict(self, texts: Sequence[str], *, max_tokens: int = 4096) -> list[dict]:
        """Classifies texts, in the given order, on the device and under the autocast that are in force.

        Args:
            texts: an empty one is classified too. A text is read as one, however many sentences it has; of one with
                more than `max_length` tokens, the part that `truncate` says.
            max_tokens: the token budget of a batch; as many batches are in work as torch has threads. Memory grows with
                both, results do not change.

        Returns:
            For each text its "label" (or "labels", where it may have several) and the "probabilities" of all.

        Raises:
            ZooError: inputs that are no texts.
        """
        return [result for result, _, _ in self._classify(texts, max_tokens)]

    def explain(self, texts: Sequence[str], *, max_tokens: int = 4096) -> list[dict]:
        """As `predict`, with the "tokens" that were read and the "weights" that the attention gave them.

        Raises:
            ZooError: the model has no pooling by attention, or inputs are no texts.
        """
        if self.pooling.attention is None:
            names = "+".join(self.pooling.names)
            raise ZooError(f"this model pools by {names} and has no weights: train one with pooling='attention'")
        classified = self._classify(texts, max_tokens)
        return [{**result, "tokens": tokens, "weights": weights} for result, tokens, weights in classified]

    @torch.inference_mode()
    def _classify(self, texts: Sequence[str], max_tokens: int) -> list[tuple[dict, list[str], list[float]]]:
        tokens = [self.preprocess(text) for text in check_texts(texts)]
        encoded = ClassificationDataset(tokens, self.indexer)
        results: list = [None] * len(tokens)
        model = self.in_evaluation()

        def classify(rows: list[int]) -> None:
            batch = ClassificationBatch(
                *(None if part is None else part.to(model.device) for part in encoded.batch(rows))
            )
            pooled = model.encode(batch)
            probabilities = model.probabilities(model.score(pooled.vectors)).tolist()
            weights = [[]] * len(rows) if pooled.weights is None else pooled.weights.tolist()
            for row, chances, attended in zip(rows, probabilities, weights, strict=True):
                results[row] = model._result(chances), tokens[row], attended[: len(tokens[row])]

        map_in_threads(classify, group_for_prediction(encoded.lengths, max_tokens, model.device), model.device)
        return results

    def _result(self, probabilities: list[float]) -> dict:
        named = dict(zip(self.labels, probabilities, strict=True))
        if self.multi_label:
            return {"labels": [label for label, p in named.items() if p >= 0.5], "probabilities": named}
        return {"label": max(named, key=named.get), "probabilities": named}
