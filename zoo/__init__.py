"""Recurrent models for natural language processing, as PyTorch Lightning modules."""

from zoo.backbone import Encoded, RecurrentBackbone
from zoo.cells import CELLS, RecurrentOptions
from zoo.classifier import TextClassifier
from zoo.imports import import_keras, import_state_dict
from zoo.pretrained import from_pretrained, list_pretrained, register
from zoo.seq2seq import Seq2Seq, Seq2SeqSummarizer
from zoo.tagger import SequenceTagger
from zoo.text import Vocabulary

__version__ = "0.1.0"

__all__ = [
    "CELLS",
    "Encoded",
    "RecurrentBackbone",
    "RecurrentOptions",
    "Seq2Seq",
    "Seq2SeqSummarizer",
    "SequenceTagger",
    "TextClassifier",
    "Vocabulary",
    "from_pretrained",
    "import_keras",
    "import_state_dict",
    "list_pretrained",
    "register",
]
