"""Groups of options that models share."""

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
    """AdamW (Loshchilov & Hutter 2019) with a linear warm-up and a cosine to zero.

    Raises:
        ZooError: an option is out of its range.
    """

    learning_rate: float = 2e-3
    """The highest learning rate of the schedule."""
    weight_decay: float = 0.01
    """Weight decay of AdamW; it applies to matrices, not to biases and embeddings."""
    warmup: float = 0.1
    """Fraction of all steps in which the learning rate rises."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ZooError(f"expected a learning_rate above 0, got {self.learning_rate}")
        if not 0 <= self.weight_decay < math.inf:
            raise ZooError(f"expected a weight_decay of at least 0, got {self.weight_decay}")
        if not 0 <= self.warmup <= 1:
            raise ZooError(f"expected warmup, a fraction of all steps, in [0, 1], got {self.warmup}")


@dataclass(frozen=True)
class RegularizationOptions(Options):
    """Regularization of a model's inputs and targets. It acts in training only.

    The models have other defaults than this class: `SequenceTagger.REGULARIZATION` and `TextClassifier.REGULARIZATION`
    drop tokens.

    Raises:
        ZooError: an option is out of its range.
    """

    token_dropout: float = 0.0
    """Probability that a token is replaced by the unknown one (Gal & Ghahramani 2016)."""
    label_smoothing: float = 0.0
    """Probability mass of the target that is spread evenly over all labels."""
    adversarial: float = 0.0
    """Size of an adversarial perturbation of the embeddings, relative to their norm (Miyato et al. 2017, eq. 3-6). Each
    step then has a second pass on the perturbed embeddings and takes twice as long; 0 turns it off."""

    def __post_init__(self) -> None:
        check_probability("token_dropout", self.token_dropout)
        check_probability("label_smoothing", self.label_smoothing)
        if self.adversarial < 0:
            raise ZooError(f"expected adversarial, a size, of at least 0, got {self.adversarial}")


@dataclass(frozen=True)
class CharacterOptions(Options):
    """The character encoder, which computes features of a word from its characters (Ling et al. 2015, Ma & Hovy 2016).

    Raises:
        ZooError: an unknown encoder (the known ones are listed), or a size out of its range.
    """

    embedding_size: int = 64
    """Features of a character embedding."""
    output_size: int = 200
    """Features of a word that are computed from its characters; 0 leaves the character encoder out."""
    encoder: str = "lstm"
    """The kind of encoder: a recurrent one with a cell of `zoo.CELLS`, or a convolution, "cnn"."""

    def __post_init__(self) -> None:
        if self.encoder not in (CONVOLUTION, *CELLS):
            raise unknown_name("character encoder", self.encoder, [CONVOLUTION, *CELLS])
        if self.embedding_size < 1 or self.output_size < 0:
            sizes = f"{self.embedding_size} and {self.output_size}"
            raise ZooError(f"expected embedding_size from 1 and output_size from 0 of characters, got {sizes}")


@dataclass(frozen=True)
class AttentionOptions(Options):
    """How a decoder reads the source at each step, and whether it may copy from it.

    Raises:
        ZooError: copying without attention, or a negative weight or number of steps. A model with these options also
            refuses an unknown kind (the known ones are listed), and coverage without additive attention.
    """

    kind: str = "multiplicative"
    """How source positions are scored: "additive" (Bahdanau et al. 2015), "multiplicative" (Luong et al. 2015), or
    "none". Without attention, the decoder gets the source only through its initial state."""
    size: int = 256
    """Features of additive attention."""
    input_feeding: bool = False
    """Whether the decoder's output is part of its next input (Luong et al. 2015). It makes training slower, because
    the decoder runs step by step, and it excludes the dropouts of `RecurrentOptions`."""
    copy: bool = False
    """Whether pieces may be copied from the source (See et al. 2017)."""
    coverage: bool = False
    """Whether attention reads the sum of its earlier weights (See et al. 2017); it needs additive attention."""
    coverage_weight: float = 1.0
    """Weight of the coverage loss."""
    coverage_after: int = 2000
    """Training steps before coverage starts. Coverage from the first step teaches a decoder to repeat one piece."""

    def __post_init__(self) -> None:
        if self.copy and self.kind == "none":
            raise ZooError("copying needs attention: leave copy out, or use another kind of attention than 'none'")
        if self.coverage_weight < 0 or self.coverage_after < 0:
            given = f"{self.coverage_weight} and {self.coverage_after}"
            raise ZooError(f"expected coverage_weight and coverage_after of at least 0, got {given}")


POINTER_GENERATOR = AttentionOptions(kind="additive", copy=True, coverage=True)
"""The attention of See et al. (2017). `dataclasses.replace` changes options of it."""


@dataclass(frozen=True)
class Seq2SeqRegularization(Options):
    """Regularization of a decoder. It acts in training only.

    Raises:
        ZooError: an option is out of its range.
    """

    label_smoothing: float = 0.1
    """Probability mass of the target that is spread evenly over the vocabulary."""
    scheduled_sampling: float = 0.0
    """Probability that the decoder reads its own prediction instead of the previous target piece (Bengio et al. 2015).
    Each step then has a second pass of the decoder."""

    def __post_init__(self) -> None:
        check_probability("label_smoothing", self.label_smoothing)
        if not 0 <= self.scheduled_sampling <= 1:
            raise ZooError(f"expected scheduled_sampling in [0, 1], got {self.scheduled_sampling}")


@dataclass(frozen=True)
class LanguageModelRegularization(Options):
    """Regularization of a language model (Merity et al. 2018). It acts in training only.

    Raises:
        ZooError: an option is out of its range.
    """

    word_dropout: float = 0.1
    """Probability that all occurrences of a word in a window have a zero embedding (Gal & Ghahramani 2016)."""
    activation: float = 2.0
    """Weight of the mean square of the outputs of the last layer, after dropout (Merity et al. 2017)."""
    temporal_activation: float = 1.0
    """Weight of the mean square of the change of these outputs from a token to the next, before dropout."""

    def __post_init__(self) -> None:
        check_probability("word_dropout", self.word_dropout)
        if min(self.activation, self.temporal_activation) < 0:
            given = f"{self.activation} and {self.temporal_activation}"
            raise ZooError(f"expected activation and temporal_activation of at least 0, got {given}")


@dataclass(frozen=True)
class SearchOptions(Options):
    """The search of a model that writes texts.

    Raises:
        ZooError: an option is out of its range.
    """

    beam: int = 5
    """Number of hypotheses of the beam search; 1 is greedy search."""
    max_length: int | None = None
    """Largest number of pieces of an output; None takes the `max_target` of the model's codec."""
    min_length: int = 1
    """Smallest number of pieces of an output."""
    block_ngrams: int = 0
    """Length of the n-grams that may not occur twice in an output; 0 allows all repetitions."""
    length_penalty: float = 1.0
    """Exponent of the length by which log-probabilities are divided (Wu et al. 2016): 0 prefers short outputs, and 1
    compares them by about the mean log-probability of a piece."""
    coverage_penalty: float = 0.0
    """Weight of the penalty for source pieces without attention (Wu et al. 2016)."""

    def __post_init__(self) -> None:
        check_search(self.beam, 1, self.length_penalty, self.coverage_penalty)

    def limits(self, max_length: int) -> Limits:
        """The limits of every output.

        Args:
            max_length: the largest number of pieces if `self.max_length` is None.

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
