from .batches.predictions import in_order
from .codecs import ClassificationCodec, Codec, LanguageModelingCodec, Seq2SeqCodec, TaggingCodec
from .explanation.explain import explain
from .explanation.explanation import Explanation
from .explanation.gates import GateActivations, gate_activations
from .explanation.nearest import Neighbour, nearest_examples
from .hub.batch_predictor import BatchPredictor
from .hub.pretrained import card, from_pretrained, list_pretrained, register
from .interop import import_keras, import_state_dict
from .models.classifier import TextClassifier
from .models.fine_tuning import FineTuningOptions
from .models.language_model import LanguageModel
from .models.options import (
    POINTER_GENERATOR,
    AttentionOptions,
    CharacterOptions,
    LanguageModelRegularization,
    OptimizerOptions,
    RegularizationOptions,
    SearchOptions,
    Seq2SeqRegularization,
)
from .models.seq2seq import Seq2Seq
from .models.summarizer import Seq2SeqSummarizer
from .models.tagger import SequenceTagger
from .nn.backbone import BackboneOutput, RecurrentBackbone
from .nn.cells import CELLS, RecurrentOptions
from .text import Vocabulary

__version__: str
__all__ = [
    "CELLS",
    "POINTER_GENERATOR",
    "AttentionOptions",
    "BackboneOutput",
    "BatchPredictor",
    "CharacterOptions",
    "ClassificationCodec",
    "Codec",
    "Explanation",
    "FineTuningOptions",
    "GateActivations",
    "LanguageModel",
    "LanguageModelRegularization",
    "LanguageModelingCodec",
    "Neighbour",
    "OptimizerOptions",
    "RecurrentBackbone",
    "RecurrentOptions",
    "RegularizationOptions",
    "SearchOptions",
    "Seq2Seq",
    "Seq2SeqCodec",
    "Seq2SeqRegularization",
    "Seq2SeqSummarizer",
    "SequenceTagger",
    "TaggingCodec",
    "TextClassifier",
    "Vocabulary",
    "card",
    "explain",
    "from_pretrained",
    "gate_activations",
    "import_keras",
    "import_state_dict",
    "in_order",
    "list_pretrained",
    "nearest_examples",
    "register",
]
