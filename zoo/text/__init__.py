"""Strings and tokens: tokenizers, vocabularies, tag schemes, sentences and languages. Nothing here needs a tensor."""

from zoo.text.documents import Token, place_tokens, read_document
from zoo.text.inventory import Inventory
from zoo.text.preprocessor import FILLING, START, Preprocessor, TextCounts
from zoo.text.sentences import split_sentences
from zoo.text.subwords import SentencePieceModel
from zoo.text.tokenizers import (
    TOKENIZERS,
    make_splitter,
    require_words,
    split_characters,
    split_jieba,
    split_keras,
    split_whitespace,
    split_words,
)
from zoo.text.vocabulary import PAD, PAD_ID, UNKNOWN, UNKNOWN_ID, Vocabulary
from zoo.text.words import split_treebank

__all__ = [
    "FILLING",
    "PAD",
    "PAD_ID",
    "START",
    "TOKENIZERS",
    "UNKNOWN",
    "UNKNOWN_ID",
    "Inventory",
    "Preprocessor",
    "SentencePieceModel",
    "TextCounts",
    "Token",
    "Vocabulary",
    "make_splitter",
    "place_tokens",
    "read_document",
    "require_words",
    "split_characters",
    "split_jieba",
    "split_keras",
    "split_sentences",
    "split_treebank",
    "split_whitespace",
    "split_words",
]
