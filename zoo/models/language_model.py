"""The language model: embedding, recurrent backbone, and a distribution over the next token.

It trains by truncated back-propagation through time: the state is carried from each window of a stream to the next,
and the gradient stops between them.

Shapes: B streams or texts, T tokens, E embedding features, H backbone outputs, V tokens of the vocabulary, N tokens
that are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from zoo.batches.bucketing import group_for_prediction
from zoo.batches.language_modeling import LanguageModelingBatch, LanguageModelingInputs
from zoo.batches.predictions import Predictions
from zoo.batches.ragged import Ragged
from zoo.codecs import LanguageModelingCodec
from zoo.generation import NOTHING
from zoo.generation.limits import IMPOSSIBLE
from zoo.masks import known_complete, padding_mask
from zoo.metrics.language_modeling import LanguageModelingMetrics
from zoo.models.continuer import TextContinuer
from zoo.models.inputs import check_texts
from zoo.models.options import LanguageModelRegularization, OptimizerOptions
from zoo.models.out_of_memory import splitting
from zoo.nn.backbone import BackboneOutput, RecurrentBackbone
from zoo.nn.cells import RecurrentOptions, State
from zoo.nn.dropout import LockedDropout, dropout_mask
from zoo.nn.embeddings import new_embeddings
from zoo.nn.softmax import AdaptiveSoftmax, OutputLayer, Softmax
from zoo.text import PAD_ID, UNKNOWN_ID
from zoo.threads import map_in_threads


class Score(NamedTuple):
    """How probable a text is."""

    tokens: list[str]
    """What was predicted, in the order of reading; the last one is the end of the text."""
    log_probabilities: list[float]
    """Of each token after the tokens before it, in nats. Its negative is the token's surprisal."""

    @property
    def total(self) -> float:
        """The log-probability of the text in nats."""
        return sum(self.log_probabilities)


class LanguageModel(TextContinuer):
    """Predicts each token of a text from the tokens before it, or with a backward codec from those after it.

    >>> from zoo import LanguageModel, LanguageModelingCodec
    >>> codec = LanguageModelingCodec(["<pad>", "<unk>", "</s>", "a", "film"])
    >>> model = LanguageModel(codec, hidden_size=8, embedding_size=8)
    >>> score = model.score(["a film"])[0]
    >>> score.tokens, len(score.log_probabilities)
    (['a', 'film', '</s>'], 3)

    Args:
        codec: turns texts into ids. A datamodule fits it (`LanguageModelingDataModule(...).codec`).
        cell: the cell of the backbone, a key of `zoo.CELLS`.
        hidden_size: the units of the backbone per layer.
        num_layers: the number of recurrent layers.
        embedding_size: E, the features of a token embedding.
        tied: whether the output layer has the embedding as its weights. An adaptive softmax has weights of its own.
        cutoffs: where the clusters of an adaptive softmax begin; none for a softmax over all tokens.
        dropout: probability of zeroing a feature before, between and after the recurrent layers, for a whole window.
        recurrent: further options of the backbone.
        regularization: word dropout, and the activation regularization of AWD-LSTM.
        optimizer: AdamW and its schedule.

    Raises:
        ZooError: an unknown cell (the known ones are listed), or wrong cutoffs.
    """

    REGULARIZATION = LanguageModelRegularization()
    OPTIMIZER = OptimizerOptions(learning_rate=3e-3)
    unit = "text"
    codec: LanguageModelingCodec
    metrics: Mapping[str, LanguageModelingMetrics]
    output: OutputLayer

    def __init__(
        self,
        codec: LanguageModelingCodec | Mapping[str, Any],
        *,
        cell: str = "lstm",
        hidden_size: int = 512,
        num_layers: int = 2,
        embedding_size: int = 512,
        tied: bool = True,
        cutoffs: Sequence[int] = (),
        dropout: float = 0.4,
        recurrent: RecurrentOptions = RecurrentOptions(),
        regularization: LanguageModelRegularization = REGULARIZATION,
        optimizer: OptimizerOptions = OPTIMIZER,
    ):
        super().__init__()
        self.save_arguments(locals())
        self.codec = codec = LanguageModelingCodec.of(codec)
        self.regularization = LanguageModelRegularization.of(regularization)
        self.use_optimizer(OptimizerOptions.of(optimizer))
        num_words = len(codec.vocabulary)
        (self.embedding,) = new_embeddings([num_words], embedding_size)
        self.dropout = LockedDropout(dropout)
        self.backbone = RecurrentBackbone(
            embedding_size,
            hidden_size,
            cell=cell,
            num_layers=num_layers,
            bidirectional=False,
            dropout=dropout,
            options=RecurrentOptions.of(recurrent),
        )
        features = self.backbone.output_size
        self.output = (
            AdaptiveSoftmax(features, num_words, cutoffs)
            if cutoffs
            else Softmax(features, num_words, embedding_size, tied=tied)
        )
        # The state after the last window, by stage. Training goes on where it was when a validation came between.
        self._carried: dict[str, tuple[State, ...]] = {}
        self.monitor = "val/perplexity"
        self.use_metrics(LanguageModelingMetrics)

    @property
    def indexed(self) -> dict[str, tuple[str, ...]]:
        names = ["embedding.weight"]
        # Words do not index the clusters of an adaptive softmax.
        if isinstance(self.output, Softmax):
            names += [f"output.{name}" for name, parameter in self.output.named_parameters() if "project" not in name]
        return dict.fromkeys(names, ("vocabulary",))

    def forward(self, inputs: LanguageModelingInputs, state: tuple[State, ...] | None = None) -> BackboneOutput:
        """Reads windows `(B, T)`, from a state or the beginning, and returns the outputs of the backbone."""
        return self.read(self._embed(inputs.token_ids), inputs.lengths, state)

    def read(self, x: Tensor, lengths: Tensor, state: tuple[State, ...] | None = None) -> BackboneOutput:
        """What `forward` returns, from embedded tokens `x (B, T, E)` and `lengths (B,)`."""
        encoded: BackboneOutput = self.backbone(self.dropout(x), lengths, state)
        return encoded

    def _embed(self, token_ids: Tensor) -> Tensor:
        """The embeddings `(B, T, E)` of tokens `(B, T)`, some of which are zero in training."""
        x: Tensor = self.embedding(token_ids)
        p = self.regularization.word_dropout
        if self.training and p:
            mask = dropout_mask(x, (self.embedding.num_embeddings,), p)  # (V,)
            x = x * mask[token_ids][..., None]
        return x

    def log_probability(self, features: Tensor, target_ids: Tensor) -> Tensor:
        """The log-probability of each target in nats: outputs of the backbone `(N, H)` and `(N,)` -> `(N,)`."""
        return self.output.target_log_probability(features, target_ids, self.embedding.weight)

    def loss_count(self, batch: LanguageModelingBatch) -> Tensor:
        """The number of tokens, `()`."""
        return batch.num_tokens

    def describe(self, batch: LanguageModelingBatch) -> str:
        places = ", ".join(f"{row:,}" for row in batch.rows.tolist()[:3])
        return f"the windows that begin at tokens {places} ... of the training split: {self.first_text(batch)!r}"

    def first_text(self, batch: LanguageModelingBatch) -> str:
        return self.codec.text(batch.target_ids[0].tolist())

    def training_step(self, batch: LanguageModelingBatch, _: int) -> Tensor:
        encoded = self._read_on("train", batch.inputs)
        outputs = encoded.sequence  # (B, T, H)
        dropped: Tensor = self.dropout(outputs)
        options = self.regularization
        loss = self._mean_loss(dropped, batch)
        if options.activation:
            loss = loss + options.activation * dropped.float().square().mean()
        if options.temporal_activation and outputs.shape[1] > 1:
            loss = loss + options.temporal_activation * outputs.float().diff(dim=1).square().mean()
        return loss

    def _mean_loss(self, outputs: Tensor, batch: LanguageModelingBatch) -> Tensor:
        """The mean negative log-likelihood of the targets in nats, `()`, from outputs `(B, T, H)`."""
        loss = -self.log_probability(outputs.flatten(0, 1), batch.target_ids.flatten())  # (B * T,)
        lengths = batch.inputs.lengths
        steps = outputs.shape[1]
        if known_complete(lengths, steps):
            return loss.mean()
        # To take the real positions out would make the host wait for a GPU.
        return (loss * padding_mask(lengths, steps).flatten()).sum() / self.loss_count(batch)

    def _read_on(self, stage: str, inputs: LanguageModelingInputs) -> BackboneOutput:
        """Reads the next window of the streams of a stage, from the state after the window before."""
        state = None if inputs.begins else self._carried.get(stage)
        encoded: BackboneOutput = self(inputs, state)
        after = tuple(tuple(part.detach() for part in of_cell) for of_cell in encoded.state)
        if self.skip_nonfinite:
            # A step that is left out must not spoil the rest of its streams.
            after = tuple(tuple(part.masked_fill(~part.isfinite(), 0.0) for part in of_cell) for of_cell in after)
        self._carried[stage] = after
        return encoded

    # A batch cannot be divided where memory ends, because its streams go on in the next one.
    def validation_step(self, batch: LanguageModelingBatch, batch_idx: int) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: LanguageModelingBatch, batch_idx: int) -> None:
        self._evaluate("test", batch)

    def _evaluate(self, stage: str, batch: LanguageModelingBatch) -> None:
        encoded = self._read_on(stage, batch.inputs)
        loss = self._mean_loss(encoded.sequence, batch)
        self.metrics[stage].update(loss, self.loss_count(batch), batch.units)
        self.record_loss(stage, loss, batch)

    def own_state(self) -> dict[str, Any]:
        return super().own_state() | {"carried": self._carried.get("train")}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        super().load_own_state(state)
        if state["carried"] is not None:
            self._carried["train"] = move_data_to_device(state["carried"], self.device)

    def predict(self, texts: Sequence[str], *, max_tokens: int = 4096) -> list[Score]:
        """What `score` returns."""
        return self.score(texts, max_tokens=max_tokens)

    @torch.inference_mode()
    def score(self, texts: Sequence[str], *, max_tokens: int = 4096) -> list[Score]:
        """The log-probability of each token of each text, which is read by itself from the beginning.

        Args:
            texts: strings. An empty text has one token, its end.
            max_tokens: the token budget of a batch, padding included. A larger budget needs more memory and does not
                change the results.

        Raises:
            ZooError: an input is not a text.
        """
        stream = self.codec.stream(check_texts(texts))
        scores: list[Score] = [Score([], [])] * len(stream.lengths)
        model = self.in_evaluation()

        def work(rows: list[int]) -> None:
            batch = move_data_to_device(stream.batch(rows), self.device)
            for row, score in zip(rows, model._scores(batch), strict=True):
                scores[row] = score

        map_in_threads(splitting(work), group_for_prediction(stream.lengths, max_tokens, self.device), self.device)
        return scores

    def predict_step(self, batch: LanguageModelingBatch, batch_idx: int) -> Predictions[Score]:
        return Predictions(batch.rows.tolist(), self._scores(batch))

    def _scores(self, batch: LanguageModelingBatch) -> list[Score]:
        """The scores of a batch of lines."""
        lengths, target_ids = batch.inputs.lengths, batch.target_ids
        mask = padding_mask(lengths, target_ids.shape[1])
        targets = target_ids[mask]  # (N,)
        found = self.log_probability(self(batch.inputs).sequence[mask], targets)  # (N,)
        parts = zip(targets.split(lengths.tolist()), found.split(lengths.tolist()), strict=True)
        return [Score(self.codec.tokens(ids.tolist()), of_line.tolist()) for ids, of_line in parts]

    def begin(self, prompts: Sequence[Sequence[int]]) -> tuple[tuple[State, ...], Tensor]:
        """The state after all tokens of each prompt but the last, and the prompts padded on the left `(B, P)`."""
        read = Ragged.of([ids[:-1] for ids in prompts])
        token_ids = read.padded(range(len(read)), min_steps=1).to(self.device)  # (B, P - 1)
        lengths = torch.from_numpy(read.lengths).to(self.device)
        state = self(LanguageModelingInputs(token_ids, lengths, begins=True)).state
        longest = max(map(len, prompts))
        padded = [[NOTHING] * (longest - len(ids)) + list(ids) for ids in prompts]
        return state, torch.tensor(padded, device=self.device)

    def step(self, tokens: Tensor, state: tuple[State, ...], _: tuple[Tensor, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """The log-probabilities of the next tokens `(R, V)` after `tokens (R,)`, for a search; none is unknown."""
        features, state = self.backbone.step(self.embedding(tokens), state)
        scores = self.output.log_probabilities(features, self.embedding.weight)
        scores[:, [PAD_ID, UNKNOWN_ID]] = IMPOSSIBLE
        return scores, state
