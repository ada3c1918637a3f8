"""Options that models share, in groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoo.errors import ZooError, unknown_name
from zoo.nn.cells import CELLS
from zoo.nn.dropout import check_probability
from zoo.options import Options

CONVOLUTION = "cnn"


@dataclass(frozen=True)
class OptimizerOptions(Options):
    """AdamW (Loshchilov & Hutter 2019) with a linear warm-up and a cosine down to zero.

    Raises:
        ZooError: a rate, decay or share outside its range.
    """

    learning_rate: float = 2e-3
    """The highest learning rate of the schedule."""
    weight_decay: float = 0.01
    """Weight decay of AdamW; it applies to matrices, not to biases and embeddings."""
    warmup: float = 0.1
    """Share of all steps in which the learning rate rises."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ZooError(f"expected a learning_rate above 0, got {self.learning_rate}")
        if not 0 <= self.weight_decay < math.inf:
            raise ZooError(f"expected a weight_decay of at least 0, got {self.weight_decay}")
        if not 0 <= self.warmup <= 1:
            raise ZooError(f"expected a share of all steps in [0, 1] as warmup, got {self.warmup}")


@dataclass(frozen=True)
class RegularizationOptions(Options):
    """Regularization of a model's input and of its targets; all of it acts in training alone.

    Raises:
        ZooError: a probability outside [0, 1), or a distance below 0.
    """

    token_dropout: float = 0.0
    """Probability that a token is read as an unknown one (Gal & Ghahramani 2016)."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all labels."""
    adversarial: float = 0.0
    """How far embeddings are moved, relative to their length, to where the loss grows fastest, for a second pass that
    training must withstand too (Miyato et al. 2017, eq. 3-6). A step then takes twice as long; 0 for none."""

    def __post_init__(self) -> None:
        check_probability("token_dropout", self.token_dropout)
        check_probability("label_smoothing", self.label_smoothing)
        if self.adversarial < 0:
            raise ZooError(f"expected adversarial of at least 0, got {self.adversarial}")


@dataclass(frozen=True)
class CharacterOptions(Options):
    """How words are composed of their characters (Ling et al. 2015, Ma & Hovy 2016).

    Raises:
        ZooError: an unknown encoder (the known ones are listed), or a negative size.
    """

    embedding_size: int = 64
    """Features of a character's embedding."""
    output_size: int = 200
    """Features composed of the characters of a word; 0 for none."""
    encoder: str = "lstm"
    """What composes them: a key of `zoo.CELLS`, or "cnn"."""

    def __post_init__(self) -> None:
        if self.encoder not in (CONVOLUTION, *CELLS):
            raise unknown_name("character encoder", self.encoder, [CONVOLUTION, *CELLS])
        if self.embedding_size < 1 or self.output_size < 0:
            sizes = f"{self.embedding_size} and {self.output_size}"
            raise ZooError(f"expected an embedding_size from 1 and an output_size from 0 of characters, got {sizes}")
