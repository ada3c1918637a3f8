"""One codec for each task, which turns texts into ids and ids into answers."""

from zoo.codecs.base import Codec
from zoo.codecs.classification import ClassificationCodec
from zoo.codecs.language_modeling import LanguageModelingCodec
from zoo.codecs.seq2seq import Seq2SeqCodec
from zoo.codecs.tagging import TaggingCodec

__all__ = ["ClassificationCodec", "Codec", "LanguageModelingCodec", "Seq2SeqCodec", "TaggingCodec"]
