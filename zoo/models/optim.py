"""The optimizer of all models: AdamW, the schedule of its learning rate, and the clipping of gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm


def adamw(
    module: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    fused: bool,
    factors: Mapping[str, float] = MappingProxyType({}),
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) over the parameters of `module` that require a gradient.

    Weight decay applies to matrices only. It would shrink every row of an embedding at each step, including the rows
    of words that the batch does not contain.

    Args:
        module: the module to train.
        learning_rate: the learning rate of parameters with the factor 1.
        weight_decay: of matrices.
        fused: whether torch's fused implementation is used.
        factors: the factor of the learning rate by the name of the parameter, where it is not 1. The groups of the
            optimizer begin with the largest factor.
    """
    embeddings = {m.weight for m in module.modules() if isinstance(m, nn.Embedding)}
    trained: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            trained.setdefault(factors.get(name, 1.0), []).append(parameter)
    groups = []
    for factor in sorted(trained, reverse=True):
        decayed = [p for p in trained[factor] if p.ndim > 1 and p not in embeddings]
        others = [p for p in trained[factor] if p.ndim <= 1 or p in embeddings]
        rate = learning_rate * factor
        groups.append({"params": decayed, "weight_decay": weight_decay, "lr": rate})
        groups.append({"params": others, "weight_decay": 0.0, "lr": rate})
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=fused)


class StepSchedule(torch.optim.lr_scheduler.LambdaLR):
    """A `LambdaLR` that does not change the groups that its optimizer gets later.

    Lightning's callbacks for fine-tuning add groups, and set the learning rates of these groups themselves.
    """

    def get_lr(self) -> list[float | Tensor]:
        own = super().get_lr()
        added = self.optimizer.param_groups[len(own) :]
        return [*own, *(group["lr"] for group in added)]


def learning_rate_factor(trainer: pl.Trainer, warmup: float) -> Callable[[int], float]:
    """The factor of the learning rate, as a function of the step.

    Args:
        trainer: its limits give the number of steps.
        warmup: fraction of all steps in which the factor rises. If the training has no last step, it is the fraction
            of one epoch.
    """
    steps = trainer.estimated_stepping_batches
    if 0 < steps < math.inf:
        return partial(warmup_then_cosine, steps=int(steps), warmup=int(warmup * steps))
    # The training has no limit, or the number of its batches is unknown: there is no last step for a cosine to reach.
    # At this point, Lightning has not counted the batches of an epoch.
    trainer.fit_loop.setup_data()
    steps_of_an_epoch = trainer.num_training_batches / trainer.accumulate_grad_batches
    warmup_steps = int(warmup * steps_of_an_epoch) if steps_of_an_epoch < math.inf else 0
    return partial(warmup_then_constant, warmup=warmup_steps)


def warmup_then_cosine(step: int, steps: int, warmup: int) -> float:
    """The factor of the learning rate at `step`: linear up to 1 over `warmup` steps, then a cosine to 0."""
    if step < warmup:
        return warmup_then_constant(step, warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def warmup_then_constant(step: int, warmup: int) -> float:
    """The factor of the learning rate at `step`: linear up to 1 over `warmup` steps, then 1."""
    return min(1.0, (step + 1) / (warmup + 1))


def clip_grad_norm(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Scales all gradients by one factor so that their norm is at most `limit` (Pascanu et al. 2013).

    Returns:
        The norm before, `()`.
    """
    trained = [p for p in parameters if p.grad is not None]
    norm = get_total_norm([p.grad for p in trained if p.grad is not None])
    # torch always multiplies the gradients, by 1 where they are small enough, because reading the norm would make the
    # host wait for a GPU. On a CPU the norm is known at once, and most multiplications are saved.
    if norm.device.type != "cpu" or not norm <= limit:
        clip_grads_with_norm_(trained, limit, norm)
    return norm
