"""What the models share: optimiser, schedule, hyperparameters, saving, exact random state."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

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

    A subclass calls `save_arguments` and `use_optimizer`. It sets its `codec`, with which that of the data is compared;
    `monitor`, the metric that chooses the best checkpoint; and in `metrics` a torchmetrics Metric for each of "val" and
    "test", which its `_evaluate` updates with a batch. Its `_answers` are what `Trainer.predict` returns. Its `unit`
    says what it reads at a time, a "sentence" or a "text" of several. The loss that its `training_step` returns is
    logged as "train/loss", in the steps that the Trainer records (`log_every_n_steps`). For callbacks it is the mean of
    the epoch so far, once the model has been scored on dev and when the epoch ends.

    Where a training has no end (`max_epochs=-1`) there is no share of all steps: the rate rises over that share of one
    epoch, and stays.

    A user's subclass may have arguments of its own: numbers, strings, lists and dictionaries are saved with the model.
    `zoo.register` makes the class known to `zoo.from_pretrained`.
    """

    learning_rate: float
    optimizer_options: OptimizerOptions
    monitor: str
    unit: str
    metrics: torch.nn.ModuleDict
    codec: Codec
    _losses_so_far: tuple[Tensor | float, int] = (0.0, 0)  # in this epoch: their sum and their number

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = remembering(cls, cls.__init__)

    def save_arguments(self, arguments: Mapping[str, object]) -> None:
        """Keeps the arguments of the constructor as hyperparameters in plain types.

        Args:
            arguments: `locals()` at the constructor's begin.
        """
        given = {name: value for name, value in arguments.items() if name not in ("self", "__class__")}
        self.save_hyperparameters({name: plain(value) for name, value in given.items()}, logger=False)

    def use_optimizer(self, options: OptimizerOptions) -> None:
        """Sets the options of the optimizer; Lightning's tuner may change `learning_rate` later."""
        self.optimizer_options = options
        self.learning_rate = options.learning_rate

    def __dir__(self) -> list[str]:
        # torch.jit.trace asks for all that is listed, and outside a Trainer that property raises an error.
        return [name for name in super().__dir__() if name != "trainer" or self._trainer is not None]

    def _evaluate(self, stage: str, batch: NamedTuple) -> None:
        raise NotImplementedError

    def _answers(self, inputs: NamedTuple) -> list[Any]:
        """What `predict` returns for each input of a batch."""
        raise NotImplementedError

    def on_train_batch_end(self, outputs: dict | None, batch: NamedTuple, batch_idx: int) -> None:
        loss = batch_loss(outputs, self.trainer)
        if loss is None:
            return
        total, batches = self._losses_so_far
        self._losses_so_far = (total + loss, batches + 1)
        # Lightning's `log` takes about 2 % of a step: only what the Trainer will record is worth it.
        every = self.trainer.log_every_n_steps
        if every and self.global_step % every == 0:
            self.log("train/loss", loss, prog_bar=True)

    def on_train_epoch_end(self) -> None:
        self._report_training()
        self._losses_so_far = (0.0, 0)

    def _report_training(self) -> None:
        total, batches = self._losses_so_far
        if batches and self.trainer.state.fn == TrainerFn.FITTING:
            # For callbacks alone: loggers have the steps.
            self.log("train/loss", total / batches, prog_bar=True, logger=False, on_epoch=True, sync_dist=True)

    def validation_step(self, batch: NamedTuple, _) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: NamedTuple, _) -> None:
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
        # They are those of all processes already; Lightning would warn of each that it is not told to share.
        self.log_dict({f"{stage}/{name}": value for name, value in scores.items()}, sync_dist=True)

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.codec.vector_words and not self.has_vectors:
            table = getattr(self.trainer.datamodule, "vector_table", None)
            if table is None:
                raise ZooError(
                    "the codec of this model has imported vectors, and nobody has imported them: "
                    "call model.import_vectors(data.vector_table) before training"
                )
            self.import_vectors(table)

    def configure_optimizers(self):
        trained = [p for p in self.parameters() if p.requires_grad]
        # Decay is for matrices: a bias, or an embedding row that a batch never used, has nothing to decay.
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
        """Of the learning rate, at each step."""
        steps = self.trainer.estimated_stepping_batches
        if 0 < steps < math.inf:
            return partial(warmup_then_cosine, steps=int(steps), warmup=int(self.optimizer_options.warmup * steps))
        # Without a limit, or with batches that nobody has counted, there is no end to fall to.
        self.trainer.fit_loop.setup_data()  # Lightning counts no batches where there is no limit
        epoch = self.trainer.num_training_batches / self.trainer.accumulate_grad_batches
        warmup = int(self.optimizer_options.warmup * epoch) if epoch < math.inf else 0
        return partial(warmup_then_constant, warmup=warmup)

    def _fused(self) -> bool:
        # No property: torch.jit.trace reads them all, and outside a Trainer there is none to ask.
        return self.trainer.precision != "16-mixed"  # fused, it would unscale gradients before they are clipped

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        # Lightning refuses to clip before any fused optimiser; without a gradient scaler there is no reason to.
        if self._fused() and gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            clip_grad_norm(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    @property
    def has_vectors(self) -> bool:
        """Whether vectors were imported, here or before the model was saved."""
        tables = [module.weight for module in self.modules() if isinstance(module, ImportedVectors)]
        return any(bool(table.any()) for table in tables)

    def in_evaluation(self) -> Self:
        """This model in evaluation mode: itself if it is, else a view of it that shares its weights.

        The mode of the model itself never changes: other threads may train or predict with it meanwhile.
        """
        return in_evaluation(self)

    @property
    def settings(self) -> dict:
        """The hyperparameters but the codec: what a config file or an experiment tracker should show."""
        return {name: value for name, value in self.hparams.items() if name != "codec"}

    @property
    def arguments(self) -> dict[str, object]:
        """What its class is called with to make this model once more, weights excepted."""
        return dict(vars(self).get("_own_arguments", self.hparams))

    def save_pretrained(self, folder: str | Path, *, half: bool = False) -> Path:
        """Writes a folder that `zoo.from_pretrained` loads: JSON and safetensors, never a pickle.

        Args:
            folder: made if it does not exist; the files of an older model in it are replaced, once the new ones are
                written.
            half: whether to store the weights in fp16, in half the space.

        Raises:
            ZooError: a weight that is too large for fp16, or an argument of a user's class that JSON does not have.
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
        # What the class was called with: a user's own class may have changed it on the way, or have made its own.
        codec = arguments.pop("codec", {})
        config = {"class": type(self).__name__, "arguments": arguments}
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        if half:
            weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
            if any(value.isinf().any() for value in weights.values()):
                raise ZooError("a weight is too large for fp16, which ends at 65504: save the model with half=False")
        write_model(folder, config, codec, weights)
        return folder

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["model_class"] = type(self).__name__
        checkpoint["hyper_parameters"] = self.arguments
        checkpoint["random_state"] = torch.get_rng_state()  # Lightning keeps none: a resume would not be exact

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self._random_state: Tensor | None = checkpoint.get("random_state")

    def on_train_start(self) -> None:
        if getattr(self, "_random_state", None) is not None:
            torch.set_rng_state(self._random_state.cpu())
            self._random_state = None


def clip_grad_norm(parameters: Iterable[Tensor], limit: float) -> None:
    """Scales all gradients together down to the norm `limit` where theirs is larger (Pascanu et al. 2013)."""
    trained = [p for p in parameters if p.grad is not None]
    norm = get_total_norm([p.grad for p in trained])
    # torch multiplies in any case, by one if need be, so as not to wait for a GPU; on a CPU it is known at once.
    if norm.device.type != "cpu" or not norm <= limit:
        clip_grads_with_norm_(trained, limit, norm)


def warmup_then_cosine(step: int, steps: int, warmup: int) -> float:
    """The factor of the learning rate at `step`: linear up to 1 over `warmup` steps, then a cosine to 0."""
    if step < warmup:
        return warmup_then_constant(step, warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def warmup_then_constant(step: int, warmup: int) -> float:
    """The factor of the learning rate at `step`: linear up to 1 over `warmup` steps, and 1 from there on."""
    return min(1.0, (step + 1) / (warmup + 1))


def batch_loss(outputs: object, trainer: pl.Trainer) -> Tensor | None:
    """The loss that a `training_step` returned, from what Lightning hands on; None where it skipped the batch."""
    if not isinstance(outputs, Mapping) or outputs.get("loss") is None:
        return None
    return outputs["loss"] * trainer.accumulate_grad_batches  # Lightning has divided by it
