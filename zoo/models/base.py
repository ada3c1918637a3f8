"""The base of all models: metrics, hyperparameters, saving and exact resumption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Self

import torch
from lightning_fabric.utilities.data import AttributeDict
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from zoo.batches.predictions import Predictions
from zoo.codecs import Codec
from zoo.errors import ZooError
from zoo.metrics.loss import MeanLoss
from zoo.models.advertisements import silence_advertisements
from zoo.models.arguments import plain, remembering
from zoo.models.evaluation import in_evaluation
from zoo.models.fine_tuning import FineTunedModule
from zoo.models.optim import StepSchedule, adamw, learning_rate_factor
from zoo.models.options import OptimizerOptions
from zoo.models.out_of_memory import in_parts
from zoo.models.outcomes import Outcomes
from zoo.models.pretrained import PretrainedModule
from zoo.models.processes import of_all_processes, random_state, set_random_state
from zoo.models.supported import check_supported
from zoo.nn.embeddings import ImportedVectors, import_table

silence_advertisements()

STAGES = ("val", "test")
# The number of what a checkpoint contains, and how. Another number means another version of this library.
CHECKPOINT_FORMAT = 2


class ZooModule(FineTunedModule, PretrainedModule):
    """A LightningModule that trains with AdamW, a linear warm-up and a cosine to zero.

    The constructor of a subclass calls `save_arguments`, `use_optimizer` and `use_metrics`, and sets `codec` and
    `monitor`. A subclass defines `training_step`, `_evaluate` and `_answers`.

    A training without a last step (`max_epochs=-1`) warms up in the given fraction of one epoch, and then keeps its
    learning rate.

    A user's subclass may have arguments of its own: numbers, strings, lists and dictionaries, which are saved with the
    model. `zoo.register` makes the class known to `zoo.from_pretrained`.

    Attributes:
        codec: turns texts into ids, and ids into answers. The data must have an equal codec.
        monitor: the name of the score that chooses the best checkpoint.
        unit: what the model reads at a time: one "sentence", or a "text" of several sentences.
        metrics: the metrics of the stages "val" and "test".
        outcomes: collects what evaluations find out about each example; None, as in a training, to collect nothing.
    """

    learning_rate: float
    optimizer_options: OptimizerOptions
    monitor: str
    unit: str
    metrics: Mapping[str, Metric | MetricCollection]
    codec: Codec
    outcomes: Outcomes | None = None
    _mean_losses: Mapping[str, MeanLoss]
    # What each process has saved of itself in the checkpoint that a training resumes from, by rank.
    _saved_by_ranks: Sequence[Mapping[str, Any]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            # mypy refuses every assignment to a method. This one wraps the constructor and keeps its signature.
            cls.__init__ = remembering(cls, cls.__init__)  # type: ignore[method-assign]

    def save_arguments(self, arguments: Mapping[str, object]) -> None:
        """Saves the arguments of the constructor as hyperparameters, in plain types.

        Args:
            arguments: `locals()` at the beginning of the constructor.
        """
        given = {name: value for name, value in arguments.items() if name not in ("self", "__class__")}
        self.save_hyperparameters({name: plain(value) for name, value in given.items()})

    def use_optimizer(self, options: OptimizerOptions) -> None:
        """Sets the options of the optimizer. Lightning's tuner may change `learning_rate` later."""
        self.optimizer_options = options
        self.learning_rate = options.learning_rate

    def use_metrics(self, new: Callable[[], Metric | MetricCollection]) -> None:
        """Sets the metrics of the stages "val" and "test".

        Args:
            new: makes a metric; it is called once for each stage.
        """
        # torch does not type the values of a ModuleDict.
        self.metrics = torch.nn.ModuleDict({stage: new() for stage in STAGES})  # type: ignore[assignment]
        self._mean_losses = torch.nn.ModuleDict({stage: MeanLoss() for stage in STAGES})  # type: ignore[assignment]

    def __dir__(self) -> list[str]:
        # torch.jit.trace reads every listed attribute, and the property `trainer` raises an error without a Trainer.
        # torch does not annotate this method.
        names = super().__dir__()  # type: ignore[no-untyped-call]
        return [name for name in names if name != "trainer" or self._trainer is not None]

    # The type of a batch depends on the task, so each model annotates its own.

    def _evaluate(self, stage: str, batch: Any) -> None:
        """Updates the metrics of `stage` with a batch, after everything that may run out of memory."""
        raise NotImplementedError

    def _answers(self, inputs: Any) -> list[Any]:
        """The answers to a batch of inputs, each as `predict` returns it."""
        raise NotImplementedError

    def record_loss(self, stage: str, loss: Tensor, batch: Any) -> None:
        """Adds the mean loss of a batch, `()`, to the "loss" that is logged after all batches of "val" or "test"."""
        self._mean_losses[stage].update(loss, self.loss_count(batch))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        in_parts(partial(self._evaluate, "val"), batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        in_parts(partial(self._evaluate, "test"), batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Predictions[Any]:
        parts = in_parts(self._answers, batch.inputs)
        return Predictions(batch.rows.tolist(), list(chain.from_iterable(parts)))

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self._reset_metrics("val")

    def on_test_epoch_start(self) -> None:
        self._reset_metrics("test")

    def _reset_metrics(self, stage: str) -> None:
        self.metrics[stage].reset()
        self._mean_losses[stage].reset()

    def on_validation_epoch_end(self) -> None:
        self._report("val")
        self._report_training()

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _report(self, stage: str) -> None:
        scores = self.metrics[stage].compute()
        if self._mean_losses[stage].update_called:
            scores = {"loss": self._mean_losses[stage].compute(), **scores}
        # The metrics have already gathered all processes. Without `sync_dist`, Lightning would warn about each score.
        self.log_dict({f"{stage}/{name}": value for name, value in scores.items()}, sync_dist=True)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            check_supported(self.trainer)
        if stage == "fit" and self.codec.vector_words and not self.has_vectors:
            # Lightning sets this attribute where type checkers do not see it.
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            table = getattr(data, "vector_table", None)
            if table is None:
                raise ZooError(
                    "the codec of this model lists words with imported vectors, but the model has no vectors yet: "
                    "call model.import_vectors(data.vector_table) before training"
                )
            self.import_vectors(table)

    def import_vectors(self, table: Tensor) -> None:
        """Copies the imported vectors of all words but `<pad>` and `<unk>` into the model.

        Args:
            table: `(len(codec.vector_words) - 2, codec.vector_size)`.

        Raises:
            ZooError: the model has no imported vectors, or the table has another shape.
        """
        import_table(next(self._vectors(), None), table)

    def _vectors(self) -> Iterator[ImportedVectors]:
        return (module for module in self.modules() if isinstance(module, ImportedVectors))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        options = self.optimizer_options
        optimizer = adamw(
            self,
            learning_rate=self.learning_rate,
            weight_decay=options.weight_decay,
            fused=self._is_fused(),
            factors=self.depth_factors(),
        )
        schedule = StepSchedule(optimizer, learning_rate_factor(self.trainer, options.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def indexed(self) -> Mapping[str, tuple[str, ...]]:
        """By the name of a weight, the fields of the codec that index its first dimensions.

        A model that is fine-tuned keeps the weights of each entry by these, where they have another place.
        """
        return {}

    @property
    def has_vectors(self) -> bool:
        """Whether the model contains imported vectors, also if it was saved and loaded since."""
        return any(bool(vectors.weight.any()) for vectors in self._vectors())

    def in_evaluation(self) -> Self:
        """The model itself if it is in evaluation mode, else a view of it in that mode, which shares its weights.

        The model's own mode does not change, because other threads may be training it or predicting with it.
        """
        return in_evaluation(self)

    @property
    def hparams_initial(self) -> AttributeDict:
        """What Lightning gives to loggers. The codec would fill them with its words."""
        return AttributeDict(self.settings)

    @property
    def settings(self) -> dict[str, Any]:
        """The hyperparameters without the codec, as a config file or an experiment tracker needs them."""
        return {name: value for name, value in self.hparams.items() if name != "codec"}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["format"] = CHECKPOINT_FORMAT
        checkpoint["model_class"] = type(self).__name__
        checkpoint["hyper_parameters"] = self.arguments
        checkpoint["ranks"] = of_all_processes(self.own_state())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self._saved_by_ranks = checkpoint.get("ranks", ())

    def own_state(self) -> dict[str, Any]:
        """What this process alone knows of a training, besides the weights: plain values and tensors."""
        # Lightning does not save the random state, but a resumed training is only exact with it.
        return {"random_state": random_state(self.device), "loss": self._epoch_loss.state_dict()}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Takes up what `own_state` returned on this process, in the training that is resumed."""
        set_random_state(state["random_state"], self.device)
        self._epoch_loss.load_state_dict(state["loss"])

    def on_train_start(self) -> None:
        super().on_train_start()
        saved = self._saved_by_ranks
        if saved:
            # On another number of processes no state is exact. Then each process still has one of its own, if it can.
            self.load_own_state(saved[self.global_rank % len(saved)])
            self._saved_by_ranks = ()
            # Lightning sets this attribute where type checkers do not see it. Not all data are the zoo's.
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            if hasattr(data, "continue_in_loops"):
                data.continue_in_loops()
