"""The `predict` of every model refuses wrong inputs, and its answers do not depend on threads and interrupts."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import ascii_lowercase

import pytest
import torch

import zoo
from zoo.codecs import ClassificationCodec, Seq2SeqCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.models.options import CharacterOptions, SearchOptions
from zoo.text import PAD, UNKNOWN
from zoo.text.reversible import SPECIALS

LETTERS = [PAD, UNKNOWN, *ascii_lowercase]
WORDS = [PAD, UNKNOWN, "the", "dog", "cat", "sleeps", "eats"]
PIECES = [*SPECIALS, *(f"▁{word}" for word in WORDS[2:])]
ZOO = str(Path(zoo.__file__).parent)


def tagger() -> zoo.SequenceTagger:
    codec = TaggingCodec(WORDS, LETTERS, list("NVXYZ"))
    return zoo.SequenceTagger(codec, characters=CharacterOptions(output_size=16), hidden_size=8, embedding_size=8)


def classifier() -> zoo.TextClassifier:
    codec = ClassificationCodec(WORDS, ["bad", "good"])
    return zoo.TextClassifier(codec, embedding_size=8, hidden_size=8, pooling="attention")


def writer(kind: type[zoo.Seq2Seq]) -> zoo.Seq2Seq:
    codec = Seq2SeqCodec(PIECES, tokenizer="words", max_target=4)
    return kind(codec, embedding_size=8, encoder_size=8, decoder_size=8, search=SearchOptions(beam=2))


MODELS = {
    "tagger": tagger,
    "classifier": classifier,
    "translator": lambda: writer(zoo.Seq2Seq),
    "summarizer": lambda: writer(zoo.Seq2SeqSummarizer),
}
CALLS = [
    *(pytest.param(make, "predict", id=name) for name, make in MODELS.items()),
    pytest.param(MODELS["translator"], "sample", id="sample"),
]


def made(make) -> zoo.ZooModule:
    """A new model, which is in training mode and has a dropout of one half."""
    torch.manual_seed(0)
    model = make()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model.train()


def texts(seed: int) -> list[str]:
    dice = random.Random(seed)
    return [" ".join("".join(dice.choices(ascii_lowercase, k=5)) for _ in range(dice.randint(1, 6))) for _ in range(5)]


@pytest.mark.parametrize("make, call", CALLS)
@pytest.mark.parametrize(
    "given, message",
    [
        ("the dog", r"'the dog' \(str\): put it into a list"),
        (b"the dog", "list of .* got b'the dog'"),
        (None, "list of .* got None"),
        (3, "list of .* got 3"),
        ({"the dog": 1}, "list of .*dict"),
        ({"the dog"}, "list of .*set"),
        (torch.zeros(2, 2), "list of .*Tensor"),
        (["the", None], "None .NoneType. at place 1"),
        (["the", float("nan")], "nan .float. at place 1"),
        ([3], "3 .int. at place 0"),
        ([b"dog"], "b'dog' .bytes. at place 0"),
        ([{"text": "dog"}], "dict. at place 0"),
        (["a" * 9999, ["dog", ["eats"]]], "list.* at place 1"),
        ([None, "x" * 9999], "^.{1,200}$"),
        (["x"] * 3 + [["y" * 9999, 0]], "^.{1,200}$"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_inputs_that_are_not_texts_are_refused(make, call, given, message):
    with pytest.raises(ZooError, match=message):
        getattr(made(make), call)(given)


@pytest.mark.parametrize("make, call", CALLS)
def test_any_sequence_of_texts_is_accepted(make, call):
    predict, given = getattr(made(make).eval(), call), ["the dog", "", "a cat eats"]
    assert predict(tuple(given)) == predict(iter(given)) == predict(given)
    assert predict([]) == []


def test_a_tagger_accepts_any_sequence_of_tokens_but_no_empty_token():
    model = made(tagger)
    assert model.predict([("the", "dog"), iter(["the", "dog"]), []]) == [*model.predict(["the dog"] * 2), []]
    for wrong in (["a", ""], ["a", None], ["a", 3.5], ["a", ["b"]], {"a": 1}):
        with pytest.raises(ZooError, match="at place 1"):
            model.predict(["the dog", wrong])


@pytest.mark.parametrize("make", [classifier, MODELS["translator"]])
def test_only_a_tagger_accepts_a_list_of_tokens(make):
    with pytest.raises(ZooError, match="at place 0"):
        made(make).predict([["the", "dog"]])


def test_attend_takes_one_source_and_one_target():
    model = made(MODELS["translator"])
    with pytest.raises(ZooError, match=r"one source as a string, got \['the dog'\]"):
        model.attend(["the dog"], "the")
    with pytest.raises(ZooError, match="one target as a string, got None"):
        model.attend("the dog", None)


@pytest.mark.parametrize("make, call", CALLS)
def test_answers_are_independent_of_concurrent_threads(make, call):
    model, number = made(make), torch.get_num_threads()
    lone = [getattr(made(make), call)(texts(seed)) for seed in range(40)]

    def ask(seed: int) -> tuple[list, int]:
        return getattr(model, call)(texts(seed)), torch.get_num_threads()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(40)))
    assert [answer for answer, _ in found] == lone
    assert {threads for _, threads in found} == {number}
    assert all(part.training for part in model.modules())
    assert [getattr(model, call)(texts(seed)) for seed in range(40)] == lone


@pytest.mark.parametrize("make, call", CALLS)
def test_later_answers_are_right_after_an_interrupt_at_any_line(make, call):
    lone = [getattr(made(make), call)(texts(seed)) for seed in range(4)]
    model, lines = made(make), _lines(getattr(made(make), call), texts(0))
    getattr(model, call)(texts(1))
    for number in range(0, lines, 1 + lines // 60):
        _interrupted(getattr(model, call), texts(number % 4), number)
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        assert getattr(model, call)(texts(number % 3)) == lone[number % 3]
    assert all(part.training for part in model.modules())


def _lines(predict, given) -> int:
    """The number of lines of `zoo` that a call runs."""
    return _interrupted(predict, given, sys.maxsize)


def _interrupted(predict, given, at: int) -> int:
    """Interrupts a call before line number `at` of `zoo`, and returns the number of lines that ran."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if not frame.f_code.co_filename.startswith(ZOO):
            return None
        if event == "line":
            count += 1
            if count > at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        predict(given)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_predict_does_not_change_the_modes_of_submodules(make):
    model = made(make)
    # A user may set a submodule to evaluation mode.
    model.dropout.eval()
    modes = [part.training for part in model.modules()]
    model.predict(["the dog"])
    assert [part.training for part in model.modules()] == modes
    view = model.in_evaluation()
    assert not any(part.training for part in view.modules())
    assert [id(weight) for weight in view.parameters()] == [id(weight) for weight in model.parameters()]
    assert model.eval().in_evaluation() is model


def test_a_submodule_with_a_replaced_forward_is_in_evaluation_mode_too():
    model = made(classifier)
    model.dropout.p = 0.5
    # Wrappers of modules leave such an attribute, bound to the module in training mode.
    model.dropout.forward = model.dropout.forward
    assert model.predict(["the dog"]) == model.predict(["the dog"])
