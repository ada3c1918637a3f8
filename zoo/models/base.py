"""What the models share: optimiser, schedule, hyperparameters, saving, exact random state."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import STEP_OUTPUT, OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer
from torchmetrics import Metric, MetricCollection

from zoo.batches.predictions import Predictions
from zoo.codecs import Codec
from zoo.errors import ZooError
from zoo.model_folder import write_model
from zoo.models.advertisements import silence_advertisements
from zoo.models.arguments import plain, remembering
from zoo.models.evaluation import in_evaluation
from zoo.models.options import OptimizerOptions
from zoo.nn.embeddings import ImportedVectors

silence_advertisements()


class ZooModule(pl.LightningModule):
    """A LightningModule with AdamW (Loshchilov & Hutter 2019), linear warm-up and a cosine down to zero.

    The constructor of a subclass calls `save_arguments`, `use_optimizer` and `use_metrics`, and sets `codec` and
    `monitor`. A subclass defines `training_step`, `_evaluate` and `_answers`.

    The loss that `training_step` returns is logged as "train/loss" at the steps that the Trainer records
    (`log_every_n_steps`). Callbacks see the mean loss of the epoch so far, after each validation and at the end of the
    epoch.

    A training without an end (`max_epochs=-1`) has no number of steps. There the warm-up takes its share of one epoch,
    and the learning rate is constant afterwards.

    A user's subclass may have arguments of its own. Numbers, strings, lists and dictionaries are saved with the model.
    `zoo.register` makes the class known to `zoo.from_pretrained`.

    Attributes:
        codec: how texts become ids, and ids answers; the data must have an equal one.
        monitor: the name of the score that chooses the best checkpoint.
        unit: what the model reads at a time: a "sentence", or a "text" of several.
        metrics: the scores of "val" and of "test".
    """

    learning_rate: float
    optimizer_options: OptimizerOptions
    monitor: str
    unit: str
    metrics: Mapping[str, Metric | MetricCollection]
    codec: Codec
    # Of the losses of this epoch: their sum and their number.
    _losses_so_far: tuple[Tensor | float, int] = (0.0, 0)
    # The state of the global generator in the checkpoint that a training resumes from.
    _random_state: Tensor | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            # mypy allows no assignment to a method, and this one replaces a constructor by itself and more.
            cls.__init__ = remembering(cls, cls.__init__)  # type: ignore[method-assign]

    def save_arguments(self, arguments: Mapping[str, object]) -> None:
        """Saves the arguments of the constructor as hyperparameters, in plain types.

        Args:
            arguments: `locals()` at the beginning of the constructor.
        """
        given = {name: value for name, value in arguments.items() if name not in ("self", "__class__")}
        self.save_hyperparameters({name: plain(value) for name, value in given.items()}, logger=False)

    def use_optimizer(self, options: OptimizerOptions) -> None:
        """Sets the options of the optimizer. Lightning's tuner may change `learning_rate` later."""
        self.optimizer_options = options
        self.learning_rate = options.learning_rate

    def use_metrics(self, new: Callable[[], Metric | MetricCollection]) -> None:
        """Sets the metrics of "val" and of "test", two that `new` makes."""
        # torch does not type the values of a ModuleDict.
        self.metrics = torch.nn.ModuleDict({stage: new() for stage in ("val", "test")})  # type: ignore[assignment]

    def __dir__(self) -> list[str]:
        # torch.jit.trace reads all that is listed here, and outside a Trainer the property `trainer` raises an error.
        # torch leaves this method without types.
        names = super().__dir__()  # type: ignore[no-untyped-call]
        return [name for name in names if name != "trainer" or self._trainer is not None]

    # What a batch is depends on the task: each model annotates its own.

    def _evaluate(self, stage: str, batch: Any) -> None:
        """Updates the metrics of `stage` with a batch."""
        raise NotImplementedError

    def _answers(self, inputs: Any) -> list[Any]:
        """What `predict` returns for each input of a batch."""
        raise NotImplementedError

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int) -> None:
        loss = batch_loss(outputs, self.trainer)
        if loss is None:
            return
        total, batches = self._losses_so_far
        self._losses_so_far = (total + loss, batches + 1)
        # Lightning's `log` takes about 2 % of a step, so only the steps that the Trainer records are logged.
        # Lightning sets this attribute where type checkers do not see it.
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and self.global_step % every == 0:
            self.log("train/loss", loss, prog_bar=True)

    def on_train_epoch_end(self) -> None:
        self._report_training()
        self._losses_so_far = (0.0, 0)

    def _report_training(self) -> None:
        total, batches = self._losses_so_far
        if batches and self.trainer.state.fn == TrainerFn.FITTING:
            # This is for callbacks alone, as loggers get the loss of single steps.
            self.log("train/loss", total / batches, prog_bar=True, logger=False, on_epoch=True, sync_dist=True)

    def validation_step(self, batch: Any, _: int) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: Any, _: int) -> None:
        self._evaluate("test", batch)

    def predict_step(self, batch: Any, _: int) -> Predictions[Any]:
        return Predictions(batch.rows.tolist(), self._answers(batch.inputs))

    def on_validation_epoch_start(self) -> None:
        self.metrics["val"].reset()

    def on_test_epoch_start(self) -> None:
        self.metrics["test"].reset()

    def on_validation_epoch_end(self) -> None:
        self._report("val")
        self._report_training()

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _report(self, stage: str) -> None:
        scores = self.metrics[stage].compute()
        # The scores are those of all processes already. Without `sync_dist`, Lightning would warn of each score.
        self.log_dict({f"{stage}/{name}": value for name, value in scores.items()}, sync_dist=True)

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.codec.vector_words and not self.has_vectors:
            # Lightning sets this attribute where type checkers do not see it.
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            table = getattr(data, "vector_table", None)
            if table is None:
                raise ZooError(
                    "the codec of this model has imported vectors, but the model has not imported them yet: "
                    "call model.import_vectors(data.vector_table) before training"
                )
            self.import_vectors(table)

    def import_vectors(self, table: Tensor) -> None:
        """Copies imported vectors `(len(codec.vector_words) - 2, codec.vector_size)`, without the special entries."""
        raise NotImplementedError

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        trained = [p for p in self.parameters() if p.requires_grad]
        # Weight decay is for matrices. It would also shrink the rows of an embedding that a batch does not use.
        embeddings = {m.weight for m in self.modules() if isinstance(m, torch.nn.Embedding)}
        decayed = [p for p in trained if p.ndim > 1 and p not in embeddings]
        kept = [p for p in trained if p.ndim <= 1 or p in embeddings]
        groups = [
            {"params": decayed, "weight_decay": self.optimizer_options.weight_decay},
            {"params": kept, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.98), fused=self._fused())
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate_factor())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate_factor(self) -> Callable[[int], float]:
        """The factor of the learning rate, as a function of the step."""
        steps = self.trainer.estimated_stepping_batches
        if 0 < steps < math.inf:
            return partial(warmup_then_cosine, steps=int(steps), warmup=int(self.optimizer_options.warmup * steps))
        # Without a limit, or where the number of batches is unknown, there is no last step for a cosine to reach.
        # Lightning has not counted the batches of an epoch yet.
        self.trainer.fit_loop.setup_data()
        epoch = self.trainer.num_training_batches / self.trainer.accumulate_grad_batches
        warmup = int(self.optimizer_options.warmup * epoch) if epoch < math.inf else 0
        return partial(warmup_then_constant, warmup=warmup)

    def _fused(self) -> bool:
        # This is no property, because torch.jit.trace reads all properties, and there may be no Trainer.
        # With a gradient scaler, a fused optimizer would unscale the gradients after they are clipped.
        return self.trainer.precision != "16-mixed"

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        # Lightning does not clip for any fused optimizer, although only a gradient scaler would be in the way.
        if self._fused() and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            clip_grad_norm(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    @property
    def has_vectors(self) -> bool:
        """Whether the model has imported vectors, now or before it was saved."""
        tables = [module.weight for module in self.modules() if isinstance(module, ImportedVectors)]
        return any(bool(table.any()) for table in tables)

    def in_evaluation(self) -> Self:
        """This model in evaluation mode: the model itself if it is in that mode, else a view that shares its weights.

        The mode of the model never changes, as other threads may train it or predict with it at the same time.
        """
        return in_evaluation(self)

    @property
    def settings(self) -> dict[str, Any]:
        """The hyperparameters without the codec, for a config file or an experiment tracker."""
        return {name: value for name, value in self.hparams.items() if name != "codec"}

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments with which its class makes this model again, apart from the weights."""
        return dict(vars(self).get("_own_arguments", self.hparams))

    def save_pretrained(self, folder: str | Path, *, half: bool = False) -> Path:
        """Writes a folder that `zoo.from_pretrained` loads: JSON and safetensors, never a pickle.

        Args:
            folder: is made if it does not exist. The files of an older model in it are replaced once the new ones are
                written.
            half: whether to store the weights in fp16, which takes half the space.

        Raises:
            ZooError: a weight is too large for fp16, or JSON cannot represent an argument of a user's class.
        """
        folder = Path(folder)
        for name, value in self.arguments.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                raise ZooError(
                    f"the argument {name} of {type(self).__name__} cannot be saved: expected numbers, strings, lists "
                    f"and dictionaries, got a {type(value).__name__} ({error})"
                ) from error
        arguments = self.arguments
        # This is the codec that the class was called with. A user's class may have changed it, or made its own.
        codec = arguments.pop("codec", {})
        config = {"class": type(self).__name__, "arguments": arguments}
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        if half:
            weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
            if any(value.isinf().any() for value in weights.values()):
                raise ZooError("a weight is too large for fp16, which ends at 65504: save the model with half=False")
        write_model(folder, config, codec, weights)
        return folder

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["model_class"] = type(self).__name__
        checkpoint["hyper_parameters"] = self.arguments
        # Lightning saves no random state, and without it a resumed training would not be exact.
        checkpoint["random_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._random_state = checkpoint.get("random_state")

    def on_train_start(self) -> None:
        if self._random_state is not None:
            torch.set_rng_state(self._random_state.cpu())
            self._random_state = None


def clip_grad_norm(parameters: Iterable[Tensor], limit: float) -> None:
    """Scales all gradients by one factor so that their norm is at most `limit` (Pascanu et al. 2013)."""
    trained = [p for p in parameters if p.grad is not None]
    norm = get_total_norm([p.grad for p in trained if p.grad is not None])
    # torch always multiplies, if need be by one, because to read the norm it would have to wait for a GPU. On a CPU the
    # norm is known at once.
    if norm.device.type != "cpu" or not norm <= limit:
        clip_grads_with_norm_(trained, limit, norm)


def warmup_then_cosine(step: int, steps: int, warmup: int) -> float:
    """The factor of the learning rate at `step`: linear up to 1 over `warmup` steps, then a cosine to 0."""
    if step < warmup:
        return warmup_then_constant(step, warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def warmup_then_constant(step: int, warmup: int) -> float:
    """The factor of the learning rate at `step`: linear up to 1 over `warmup` steps, then 1."""
    return min(1.0, (step + 1) / (warmup + 1))


def batch_loss(outputs: object, trainer: pl.Trainer) -> Tensor | None:
    """The loss that a `training_step` returned, from the outputs that Lightning passes on; None for a skipped batch."""
    if not isinstance(outputs, Mapping):
        return None
    loss: Tensor | None = outputs.get("loss")
    # Lightning has divided the loss by this number.
    return None if loss is None else loss * trainer.accumulate_grad_batches
