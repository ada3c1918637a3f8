"""Contextual features of a tagger: the states of frozen language models (Peters et al. 2017, Akbik et al. 2018).

Shapes: B sentences, T tokens, X embedding features, F features of all language models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from zoo.batches.context import Context, context_inputs
from zoo.batches.ragged import Ragged
from zoo.batches.tagging import TaggingDataset
from zoo.codecs import TaggingCodec
from zoo.errors import ZooError
from zoo.models.context_states import states_of
from zoo.models.language_model import LanguageModel
from zoo.models.text_tagger import TextTagger
from zoo.nn.context import ContextualFeatures, FrozenReader

# The arguments of a language model that its states depend on.
SHARED = ("cell", "hidden_size", "num_layers", "embedding_size", "recurrent")

LanguageModels = Sequence[LanguageModel | Mapping[str, Any]]


def plain_arguments(models: LanguageModels) -> list[dict[str, Any]]:
    """What describes language models beside their codecs and weights, in plain types."""
    settings = [model.settings if isinstance(model, LanguageModel) else model for model in models]
    return [{name: of_model[name] for name in SHARED} for of_model in settings]


class ContextualTagger(TextTagger):
    """A tagger that may read the states of language models beside the features of words.

    Attributes:
        context: the language models, which are part of this model; None without any.
    """

    context: ContextualFeatures | None

    def use_context(self, codec: TaggingCodec, models: LanguageModels) -> int:
        """Sets the language models, and returns F, the number of their features.

        Args:
            codec: lists their codecs.
            models: the language models, or what `plain_arguments` returns for them.

        Raises:
            ZooError: these are not the language models of the codec.
        """
        if len(models) != len(codec.context):
            raise ZooError(
                f"expected as many language models as the codec has in context, {len(codec.context)}, got "
                f"{len(models)}: make the data with context=[model.codec, ...] and the tagger with context=[model, ...]"
            )
        self.context = None
        if not models:
            return 0
        readers = []
        for model, of_model, reads in zip(models, plain_arguments(models), codec.context, strict=True):
            options = of_model.pop("recurrent")
            reader = FrozenReader(len(reads.vocabulary), **of_model, options=options)
            if isinstance(model, LanguageModel):
                told = reads.differences(model.codec, ours="the codec", theirs="the language model")
                if told:
                    raise ZooError(f"expected the language models of the codec, in its order: {told}")
                reader.embedding.load_state_dict(model.embedding.state_dict())
                reader.backbone.load_state_dict(model.backbone.state_dict())
            readers.append(reader)
        features = ContextualFeatures(readers)
        self.context = features
        return features.output_size

    def read_context(self, pieces: Sequence[Ragged], form_ids: Ragged) -> Context:
        """What the language models read of sentences, on the device of this model; see `context_inputs`."""
        context: Context = context_inputs(self.codec.indexer.readers, pieces, form_ids)
        moved: Context = move_data_to_device(context, self.device)
        return moved

    def join(self, x: Tensor, context: Context) -> Tensor:
        """The embeddings of tokens `(B, T, X)` with their contextual features `(B, T, X + F)`."""
        if self.context is None:
            return x
        return torch.cat([x, self.context(context).to(x.dtype)], dim=-1)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        # Lightning sets this attribute where type checkers do not see it. Not all data are the zoo's.
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.context is None or not hasattr(data, "encoded"):
            return
        for split in ("train", "dev"):
            dataset = data.encoded(split) if split in data.splits else None
            if isinstance(dataset, TaggingDataset) and dataset.sentences.states is None:
                dataset.sentences.states = states_of(self.context, dataset.sentences, self.device)
