"""Attributions are those of captum, an independent implementation of the same methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import zoo
from zoo.batches.seq2seq import Pair

attribution = pytest.importorskip("captum.attr")


class Case(NamedTuple):
    """A model, its input, its target, the embedding of the input, and the score of the target as captum sees it."""

    model: zoo.TextClassifier | zoo.SequenceTagger | zoo.Seq2Seq
    text: str
    options: dict[str, object]
    x: Tensor  # (1, T, X)
    score: Callable[[Tensor], Tensor]  # (B, T, X) -> (B,)


def classified() -> Case:
    model = zoo.from_pretrained("sentiment-en-sst2")
    text = "a gripping , tender film that never quite loses its way"
    inputs = model.codec.dataset([model.codec.preprocessor(text)], [["positive"]]).batch([0]).inputs

    def score(x: Tensor) -> Tensor:
        probability = model.probabilities(model.score(model.pool(x, inputs.lengths.expand(len(x))).vectors))
        return probability[:, 1].logit()

    return Case(model, text, dict(target="positive"), model.embedding(inputs.word_ids, inputs.vector_ids), score)


def tagged() -> Case:
    model = zoo.from_pretrained("ner-zh-resume")
    text = "王珺珊女士,中国国籍。"
    inputs = model.codec.dataset([list(text)], [["O"] * len(text)]).batch([0]).inputs
    tag = list(model.codec.tags).index("M-NAME")

    def score(x: Tensor) -> Tensor:
        lengths = inputs.lengths.expand(len(x))
        emissions = model.head(model.read(x, lengths))
        without = emissions.clone()
        without[:, 1, tag] = -1e30
        # One minus the probability of the tag.
        return -(model.crf.log_partition(without, lengths) - model.crf.log_partition(emissions, lengths)).exp().logit()

    x = model.embedding(inputs.forms)[inputs.form_ids]
    return Case(model, text, dict(target="M-NAME", position=1), x, score)


def translated() -> Case:
    model = zoo.from_pretrained("translate-en-de-multi30k")
    pair = Pair("A dog runs on the beach.", "Ein Hund rennt am Strand.")
    dataset = model.codec.dataset([pair] * 50)
    x = model.embed_source(dataset.batch([0]).inputs)

    def score(x: Tensor) -> Tensor:
        batch = dataset.batch(range(len(x)))
        memory, state = model.encode(x, batch.inputs)
        begin = torch.full((len(x), 1), 2)
        read = model.embed(torch.cat([begin, batch.target_ids[:, :-1]], dim=1))
        decoded = model.decoder(read, batch.target_lengths, memory, state, covering=False)
        # The second piece is the word "Hund".
        return model.project(decoded.output[:, 1]).log_softmax(-1)[:, batch.target_ids[0, 1]]

    return Case(model, pair.source, dict(target="Hund", output=pair.target), x, score)


@pytest.mark.parametrize("make", [classified, tagged, translated])
def test_attributions_are_those_of_captum(make):
    case = make()
    x = case.x.detach()
    baseline = torch.zeros_like(x)
    path = attribution.IntegratedGradients(case.score)
    window = attribution.Occlusion(case.score)
    expected = {
        "integrated_gradients": path.attribute(x, baseline, n_steps=50, method="riemann_middle").sum(-1),
        "input_x_gradient": attribution.InputXGradient(case.score).attribute(x.requires_grad_()).sum(-1),
        # The score of a token is repeated for each of its features.
        "occlusion": window.attribute(x, sliding_window_shapes=(1, x.shape[2]), baselines=baseline)[..., 0],
    }
    for method, of_captum in expected.items():
        (explanation,) = zoo.explain(case.model, [case.text], method=method, **case.options)
        found = torch.tensor([explanation.attributions])
        torch.testing.assert_close(found, of_captum.detach().float(), atol=1e-4, rtol=1e-4)
