"""How a pretrained model is trained further (ULMFiT, Howard & Ruder 2018, "Universal Language Model Fine-tuning").

Parameters have a depth: 0 in the embeddings, 1 to N in the N recurrent layers of the encoder, and N + 1 in all other
parts, such as a head or a decoder. Discriminative fine-tuning gives lower depths a smaller learning rate. Gradual
unfreezing trains the highest depth first, and later one lower depth after the other.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn
from torch.optim import Optimizer

from zoo.errors import ZooError, unknown_name
from zoo.models.trained import TrainedModule
from zoo.options import Options

# The modules that embed what a model reads, and the recurrent layers that read the embeddings. The skip connection at
# position k belongs to the layer above the layer at position k.
EMBEDDINGS = ("embedding", "embeddings", "vectors")
LAYER = re.compile(r"(?:backbone|encoder)\.(layers|skips)\.(\d+)\.")


@dataclass(frozen=True)
class FineTuningOptions(Options):
    """How a pretrained model is trained further (Howard & Ruder 2018).

    A parameter has a depth: 0 in the embeddings, 1 to N in the recurrent layers of the encoder, and N + 1 in all other
    parts, such as a head or a decoder.

    Raises:
        ZooError: an option is out of its range.
    """

    layer_decay: float = 1.0
    """Factor of the learning rate from one depth to the next lower one (discriminative fine-tuning, section 3.2, where
    it is 1 / 2.6). With 1, all depths have the same learning rate."""
    unfreeze_every: int = 0
    """Number of epochs after which the next lower depth is trained too, beginning with only the highest one (gradual
    unfreezing, section 3.3, where it is 1). With 0, all depths are trained from the beginning."""
    frozen: tuple[str, ...] = ()
    """Parts that are not trained: names of modules or parameters such as "embedding" or "backbone.layers.0"."""

    def __post_init__(self) -> None:
        if not 0 < self.layer_decay <= 1:
            raise ZooError(f"expected a layer_decay above 0 and at most 1, got {self.layer_decay}")
        if self.unfreeze_every < 0:
            raise ZooError(f"expected unfreeze_every, a number of epochs, of at least 0, got {self.unfreeze_every}")
        if isinstance(self.frozen, str):
            raise ZooError(f"expected frozen as a list of names, got one text: write [{self.frozen}]")
        object.__setattr__(self, "frozen", tuple(self.frozen))


class FineTunedModule(TrainedModule):
    """A module that is trained by depth.

    Parameters that are frozen do not require a gradient from the setup of a training to its end. Parameters that wait
    to be unfrozen do not require one either, so that no time is spent on their gradients. On several processes they do
    and their gradients are dropped before each step, as DDP decides at the beginning which parameters it reduces.

    Which depths are unfrozen follows from the epoch alone, so that a training resumes in the right state.

    Attributes:
        fine_tuning: how the model is trained further; `use_fine_tuning` sets it.
        untrained: the names of the weights that are new, or have new rows, in a model that is fine-tuned.
    """

    fine_tuning = FineTuningOptions()
    untrained: Sequence[str] = ()

    def __init__(self) -> None:
        super().__init__()
        # The names of the parameters that required a gradient before the training, and must not in it.
        self._frozen: list[str] = []
        # The names of the other parameters that are trained.
        self._trained: list[str] = []
        # On several processes, the parameters whose gradients are dropped.
        self._waiting: list[nn.Parameter] = []

    def use_fine_tuning(self, options: FineTuningOptions | Mapping[str, Any]) -> None:
        """Sets how the model is trained further.

        Raises:
            ZooError: the model has no parts with the names in `frozen`, or they are all parts.
        """
        options = FineTuningOptions.of(options)
        names = [name for name, _ in self.named_parameters()]
        for part in options.frozen:
            if not any(_is_in(name, part) for name in names):
                raise unknown_name("part to freeze", part, {name.partition(".")[0] for name in names})
        if all(_is_frozen(name, options) for name in names):
            raise ZooError(f"frozen={list(options.frozen)} leaves nothing to train: leave one of them out")
        self.fine_tuning = options

    def depth_of(self, parameter: str) -> int | None:
        """The depth of a parameter, by its name; None for the highest one, that of the head.

        A subclass with other modules may override it.
        """
        if parameter.partition(".")[0] in EMBEDDINGS:
            return 0
        layer = LAYER.match(parameter)
        if layer is None:
            return None
        return int(layer[2]) + (1 if layer[1] == "layers" else 2)

    def depths(self) -> dict[str, int]:
        """The depth of each parameter, by its name."""
        depths = {name: self.depth_of(name) for name, _ in self.named_parameters()}
        highest = 1 + max((depth for depth in depths.values() if depth is not None), default=0)
        return {name: highest if depth is None else depth for name, depth in depths.items()}

    def depth_factors(self) -> dict[str, float]:
        """The factor of the learning rate of each parameter, by its name: `layer_decay ** (highest depth - depth)`."""
        depths = self.depths()
        highest = max(depths.values(), default=0)
        return {name: self.fine_tuning.layer_decay ** (highest - depth) for name, depth in depths.items()}

    def setup(self, stage: str) -> None:
        if stage != "fit":
            return
        # `from_pretrained` returns models in evaluation mode, and Lightning keeps the mode that it finds. In a model in
        # training mode, a user may have put single modules into evaluation mode: they stay so.
        if not self.training:
            self.train()
        # An earlier training may have ended by an error.
        self._thaw()
        trained = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        self._frozen = [name for name in trained if _is_frozen(name, self.fine_tuning)]
        self._trained = [name for name in trained if not _is_frozen(name, self.fine_tuning)]
        self._require_gradients(self._frozen, required=False)
        random = [name for name in self._frozen if name in self.untrained]
        if random:
            warnings.warn(f"{', '.join(random)} are frozen, but have new rows, which keep their random values")

    def teardown(self, stage: str) -> None:
        if stage == "fit":
            self._thaw()

    def _thaw(self) -> None:
        """Undoes what fine-tuning has frozen."""
        self._require_gradients(self._frozen, required=True)
        if self.fine_tuning.unfreeze_every:
            self._require_gradients(self._trained, required=True)
        self._frozen = []
        self._trained = []
        self._waiting = []

    def on_train_start(self) -> None:
        if not self.fine_tuning.unfreeze_every:
            return
        limit = self.trainer.max_epochs or -1
        never = [name for name, epoch in self._first_epochs().items() if 0 < limit <= epoch]
        if never:
            parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in never))
            warnings.warn(
                f"unfreeze_every={self.fine_tuning.unfreeze_every} never trains parts of {parts} in {limit} epochs: "
                f"train for {max(self._first_epochs().values()) + 1} epochs or more"
            )
        # A training that is resumed within an epoch does not begin that epoch again.
        self._unfreeze()

    def on_train_epoch_start(self) -> None:
        if self.fine_tuning.unfreeze_every:
            self._unfreeze()

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        def closure() -> Any:
            result = optimizer_closure() if optimizer_closure is not None else None
            for parameter in self._waiting:
                parameter.grad = None
            return result

        super().optimizer_step(epoch, batch_idx, optimizer, closure)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["fine_tuning"] = asdict(self.fine_tuning)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            self.check_fine_tuning(checkpoint)

    def check_fine_tuning(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuses to resume a training with other options of fine-tuning than it began with.

        Raises:
            ZooError: an option differs.
        """
        before = FineTuningOptions.of(checkpoint["fine_tuning"])
        if before != self.fine_tuning:
            raise ZooError(
                f"the training began with {before}, and would go on with {self.fine_tuning}: give the values that it "
                "began with"
            )

    def _first_epochs(self) -> dict[str, int]:
        """The epoch, from 0, in which a parameter is trained first, by its name."""
        depths = self.depths()
        highest = max(depths.values())
        return {name: self.fine_tuning.unfreeze_every * (highest - depths[name]) for name in self._trained}

    def _unfreeze(self) -> None:
        """Freezes the parameters that wait in this epoch, and unfreezes the others."""
        waiting = [name for name, epoch in self._first_epochs().items() if epoch > self.current_epoch]
        if self.trainer.world_size > 1:
            self._waiting = [self.get_parameter(name) for name in waiting]
            return
        self._require_gradients(self._trained, required=True)
        self._require_gradients(waiting, required=False)

    def _require_gradients(self, names: list[str], *, required: bool) -> None:
        for name in names:
            self.get_parameter(name).requires_grad_(required)


def _is_in(parameter: str, part: str) -> bool:
    """Whether a parameter is the named part of a model, or is in it."""
    return f"{parameter}.".startswith(f"{part}.")


def _is_frozen(parameter: str, options: FineTuningOptions) -> bool:
    return any(_is_in(parameter, part) for part in options.frozen)
