"""Cached vectors equal those that the encoder composes now, whatever has changed in it since."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import zoo.nn.form_cache
from zoo import SequenceTagger
from zoo.codecs import TaggingCodec
from zoo.models.options import CharacterOptions
from zoo.nn.form_cache import FormCache
from zoo.text import PAD, UNKNOWN

SENTENCES = [["I", "saw", "her", "duck"], ["Go", "!"], ["Zoe", "is", "a", "very", "nice", "place"], ["Hm"]]
FORMS = [token for sentence in SENTENCES for token in sentence]


def tagger(seed: int = 0, **options) -> SequenceTagger:
    torch.manual_seed(seed)
    sizes = dict(embedding_size=4, characters=CharacterOptions(4, 16), hidden_size=8, dropout=0.0)
    vectors = dict(vector_words=[PAD, UNKNOWN, "duck", "saw"], vector_size=3)
    letters = sorted(set("".join(FORMS)))
    codec = TaggingCodec([PAD, UNKNOWN, "saw"], [PAD, UNKNOWN, *letters], list("VWXYZ"), **vectors)
    model = SequenceTagger(codec, **sizes, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter.data, std=0.7)
    return model.eval()


def fused_step(model: SequenceTagger) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    optimizer.step()


def through_data(model: SequenceTagger) -> None:
    for parameter in model.parameters():
        parameter.data.neg_()


def swapped_data(model: SequenceTagger) -> None:
    for one, other in zip(model.parameters(), tagger(1).parameters(), strict=True):
        one.data, other.data = other.data, one.data


def through_numpy(model: SequenceTagger) -> None:
    for parameter in model.embedding.parameters():
        parameter.detach().numpy()[:] *= -1


def one_number(model: SequenceTagger) -> None:
    with torch.no_grad():
        model.embedding.characters.embedding.weight[2:] *= 3


def loaded(model: SequenceTagger) -> None:
    model.load_state_dict(tagger(1).state_dict())


def averaged(model: SequenceTagger) -> None:
    average = torch.optim.swa_utils.AveragedModel(model)
    average.update_parameters(tagger(1))
    average.update_parameters(tagger(2))
    loaded_average = average.module.state_dict()
    for name, parameter in model.named_parameters():
        parameter.data.copy_(loaded_average[name])


def imported(model: SequenceTagger) -> None:
    model.import_vectors(torch.tensor([[90.0, -50.0, 3.0], [-7.0, 99.0, 50.0]]))


def other_encoder(model: SequenceTagger) -> None:
    model.embedding.characters = tagger(1).embedding.characters


def other_type(model: SequenceTagger) -> None:
    through_data(model.bfloat16())


CHANGES = [
    fused_step, through_data, swapped_data, through_numpy, one_number, loaded, averaged, imported, other_encoder,
    other_type,
]  # fmt: skip


@pytest.mark.parametrize("cache", ["warm", "cold"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_of_weights_is_noticed(change: Callable, cache: str):
    model = tagger()
    before = model.predict(SENTENCES)
    if cache == "cold":
        model = copy.deepcopy(model)
    change(model)
    # A copy has an empty cache of its own.
    fresh = copy.deepcopy(model)
    assert model.predict(SENTENCES) == fresh.predict(SENTENCES) != before


def test_restored_weights_are_noticed():
    model = tagger()
    before, weights = model.predict(SENTENCES), copy.deepcopy(model.state_dict())
    through_data(model)
    other = model.predict(SENTENCES)
    model.load_state_dict(weights)
    assert model.predict(SENTENCES) == before != other


def test_autocast_is_noticed():
    encoder, cache = tagger().embedding.characters, FormCache()

    def compose(encoder: nn.Module, forms: list[str]) -> torch.Tensor:
        return encoder.embedding.weight[[len(form) for form in forms]] @ torch.ones(4, 2)

    with torch.inference_mode():
        plain = cache.vectors(encoder, FORMS, compose)
        with torch.autocast("cpu", torch.bfloat16):
            assert cache.vectors(encoder, FORMS, compose).dtype == torch.bfloat16
        again = cache.vectors(encoder, FORMS, compose)
    assert again.dtype == torch.float32 and torch.equal(again, plain)


class Lengths(nn.Module):
    """The parameter of an encoder that composes the length of a form, times a weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


@given(
    requests=st.lists(st.sets(st.text("ab", min_size=1, max_size=4), min_size=1), max_size=12),
    changes=st.sets(st.integers(0, 11)),
    failures=st.sets(st.integers(0, 11)),
)
@settings(max_examples=60)
def test_a_full_or_failing_cache_equals_no_cache(requests, changes, failures):
    encoder, cache = Lengths(), FormCache()

    def compose(encoder: nn.Module, forms: list[str]) -> torch.Tensor:
        if number in failures:
            raise MemoryError
        return encoder.weight * torch.tensor([[float(len(form))] for form in forms])

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(zoo.nn.form_cache, "CAPACITY", 7)
        for number, request in enumerate(requests):
            if number in changes:
                encoder.weight.data += 1
            try:
                found = cache.vectors(encoder, sorted(request), compose)
            except MemoryError:
                continue
            assert found[:, 0].tolist() == [
                len(form) * (1 + sum(c <= number for c in changes)) for form in sorted(request)
            ]


def test_an_interrupt_at_any_line_leaves_no_wrong_vector():
    def compose(encoder: nn.Module, forms: list[str]) -> torch.Tensor:
        return encoder.weight * torch.tensor([[float(len(form))] for form in forms])

    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename != zoo.nn.form_cache.__file__:
            return None
        left -= event == "line"
        if left < 0:
            raise KeyboardInterrupt
        return trace

    encoder, number, done = Lengths(), 0, False
    while not done:
        cache, left = FormCache(), number
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with torch.no_grad():
                cache.vectors(encoder, ["a", "bb", "ccc"], compose)
            done = True
        except KeyboardInterrupt:
            number += 1
        finally:
            sys.settrace(before)
        for forms in (["ccc", "dddd"], ["a", "bb"]):
            assert cache.vectors(encoder, forms, compose)[:, 0].tolist() == [len(form) for form in forms]
    assert number > 20


def test_a_known_form_is_not_composed_again():
    encoder, cache, composed = Lengths(), FormCache(), []

    def compose(encoder: nn.Module, forms: list[str]) -> torch.Tensor:
        composed.extend(forms)
        return torch.zeros(len(forms), 1)

    for forms in (["a", "b"], ["b", "c"], ["a", "c"], ["c"]):
        cache.vectors(encoder, forms, compose)
    assert composed == ["a", "b", "c"]


def test_a_pickled_tagger_has_an_empty_cache():
    model = tagger()
    sizes = []
    for _ in range(2):
        sizes.append(len(pickle.dumps(model._cache)))
        model.predict(SENTENCES)
    assert sizes[0] == sizes[1] < 200
