"""Options that models share, in groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoo.errors import ZooError, unknown_name
from zoo.generation import Limits, check_search
from zoo.nn.cells import CELLS
from zoo.nn.dropout import check_probability
from zoo.options import Options
from zoo.text.reversible import BEGIN_ID, END_ID

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


@dataclass(frozen=True)
class AttentionOptions(Options):
    """How a decoder reads its source at each step, and whether it may copy from it.

    Raises:
        ZooError: copying without attention, or a negative weight or number of steps. The decoder refuses an unknown
            kind (the known ones are listed), and coverage with another kind than the additive one.
    """

    kind: str = "multiplicative"
    """What scores a source position: "additive" (Bahdanau et al. 2015) or "multiplicative" attention (Luong et al.
    2015), or "none": then the decoder knows of the source only what its first state tells."""
    size: int = 256
    """Features of additive attention."""
    input_feeding: bool = False
    """Whether the decoder's output is part of its next input. It is slower, as training must go step by step, and
    excludes the dropouts of `RecurrentOptions`."""
    copy: bool = False
    """Whether pieces may be copied from the source (See et al. 2017)."""
    coverage: bool = False
    """Whether attention sees where it was before (See et al. 2017); additive attention alone can."""
    coverage_weight: float = 1.0
    """Weight of the coverage loss."""
    coverage_after: int = 2000
    """Training steps before coverage begins: from the first step on it makes a decoder repeat one piece."""

    def __post_init__(self) -> None:
        if self.copy and self.kind == "none":
            raise ZooError("without attention nothing can be copied: use another kind of attention than 'none'")
        if self.coverage_weight < 0 or self.coverage_after < 0:
            given = f"{self.coverage_weight} and {self.coverage_after}"
            raise ZooError(f"expected coverage_weight and coverage_after of at least 0, got {given}")


POINTER_GENERATOR = AttentionOptions(kind="additive", copy=True, coverage=True)
"""The attention of See et al. (2017): `dataclasses.replace` makes others of it."""


@dataclass(frozen=True)
class Seq2SeqRegularization(Options):
    """Regularization of a decoder; all of it acts in training alone.

    Raises:
        ZooError: a share or probability outside its range.
    """

    label_smoothing: float = 0.1
    """Share of the target that is spread over the vocabulary."""
    scheduled_sampling: float = 0.0
    """Probability that the decoder reads its own guess in the place of the piece before (Bengio et al. 2015). A step
    then needs a second pass of the decoder."""

    def __post_init__(self) -> None:
        check_probability("label_smoothing", self.label_smoothing)
        if not 0 <= self.scheduled_sampling <= 1:
            raise ZooError(f"expected scheduled_sampling in [0, 1], got {self.scheduled_sampling}")


@dataclass(frozen=True)
class SearchOptions(Options):
    """How a model that writes searches for its output.

    Raises:
        ZooError: numbers that no search can have.
    """

    beam: int = 5
    """Hypotheses of the beam search; 1 is greedy."""
    max_length: int | None = None
    """Pieces of an output at most; by default as many as the model's codec reads of a target."""
    min_length: int = 1
    """Pieces of an output at least."""
    block_ngrams: int = 0
    """No sequence of so many pieces occurs twice in an output; 0 allows all."""
    length_penalty: float = 1.0
    """0 prefers short outputs, 1 is about the mean log-probability of a piece."""
    coverage_penalty: float = 0.0
    """What a source costs that was not attended to (Wu et al. 2016)."""

    def __post_init__(self) -> None:
        check_search(self.beam, 1, self.length_penalty, self.coverage_penalty)

    def limits(self, max_length: int) -> Limits:
        """What every output keeps to.

        Args:
            max_length: pieces at most, where the search names no other number.

        Raises:
            ZooError: the lengths contradict each other, or a number is negative.
        """
        return Limits(
            BEGIN_ID,
            END_ID,
            max_length=max_length if self.max_length is None else self.max_length,
            min_length=self.min_length,
            block_ngrams=self.block_ngrams,
        )
