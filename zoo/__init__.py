"""Recurrent models for natural language processing, as PyTorch Lightning modules."""

from zoo.batches.predictions import in_order
from zoo.codecs import ClassificationCodec, Codec, Seq2SeqCodec, TaggingCodec
from zoo.hub.pretrained import from_pretrained, list_pretrained, register
from zoo.interop import import_keras, import_state_dict
from zoo.models.classifier import TextClassifier
from zoo.models.options import (
    POINTER_GENERATOR,
    AttentionOptions,
    CharacterOptions,
    OptimizerOptions,
    RegularizationOptions,
    SearchOptions,
    Seq2SeqRegularization,
)
from zoo.models.seq2seq import Seq2Seq
from zoo.models.summarizer import Seq2SeqSummarizer
from zoo.models.tagger import SequenceTagger
from zoo.nn.backbone import BackboneOutput, RecurrentBackbone
from zoo.nn.cells import CELLS, RecurrentOptions
from zoo.text import Vocabulary

__version__ = "0.1.0"

__all__ = [
    "CELLS",
    "POINTER_GENERATOR",
    "AttentionOptions",
    "BackboneOutput",
    "CharacterOptions",
    "ClassificationCodec",
    "Codec",
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
    "from_pretrained",
    "import_keras",
    "import_state_dict",
    "in_order",
    "list_pretrained",
    "register",
]
