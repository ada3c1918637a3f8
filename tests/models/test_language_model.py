"""The language model: windows, directions, scores and generation agree with one another."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from zoo import CELLS, LanguageModel, LanguageModelingCodec
from zoo.batches.language_modeling import StreamWindows
from zoo.codecs.language_modeling import END_ID, SPECIALS
from zoo.errors import ZooError
from zoo.text import Vocabulary
from zoo.text.reversible import ReversibleTokenizer

TEXTS = ["a good film", "the film was bad", "good", "", "was the good film a bad film"]


def codec_of(tokenizer: str = "whitespace", *, backward: bool = False) -> LanguageModelingCodec:
    split = ReversibleTokenizer(tokenizer).split
    vocabulary = Vocabulary.fit((token for text in TEXTS for token in split(text)), specials=SPECIALS)
    return LanguageModelingCodec(vocabulary, tokenizer=tokenizer, backward=backward)


def model_of(codec: LanguageModelingCodec | None = None, **options) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(codec or codec_of(), hidden_size=8, embedding_size=6, **options).eval()


def evaluated(model: LanguageModel, streams: int, window: int) -> dict[str, float]:
    windows = StreamWindows(model.codec.stream(TEXTS), streams)
    for start in range(0, windows.steps, window):
        model._evaluate("val", windows.batch(start, min(start + window, windows.steps)))
    scores = {name: float(score) for name, score in model.metrics["val"].compute().items()}
    model.metrics["val"].reset()
    return scores


@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_the_perplexity_of_a_stream_does_not_depend_on_its_windows(cell):
    model = model_of(cell=cell)
    ids = [END_ID, *(i for text in TEXTS for i in model.codec.ids(text))]
    state = model.backbone.initial_state(1)
    total = 0.0
    for token, target in pairwise(ids):
        log_probabilities, state = model.step(torch.tensor([token]), state, ())
        if target > 1:
            total -= float(log_probabilities[0, target])
    words, characters = sum(len(text.split()) + 1 for text in TEXTS), sum(len(text) + 1 for text in TEXTS)
    for window in (1, 3, 100):
        scores = evaluated(model, streams=1, window=window)
        assert scores["perplexity"] == pytest.approx(math.exp(total / (len(ids) - 1)), rel=1e-5)
        assert scores["word_perplexity"] == pytest.approx(math.exp(total / words), rel=1e-5)
        assert scores["bits_per_character"] == pytest.approx(total / math.log(2) / characters, rel=1e-5)


@torch.no_grad()
def test_word_perplexity_does_not_depend_on_the_tokens():
    # A model that gives each token the same probability.
    for tokenizer in ("whitespace", "characters"):
        model = model_of(codec_of(tokenizer))
        for parameter in model.parameters():
            parameter.zero_()
        scores = evaluated(model, streams=2, window=4)
        tokens = sum(len(model.codec.ids(text)) for text in TEXTS)
        words = sum(len(text.split()) + 1 for text in TEXTS)
        assert scores["perplexity"] == pytest.approx(len(model.codec.vocabulary), rel=1e-5)
        assert scores["word_perplexity"] == pytest.approx(len(model.codec.vocabulary) ** (tokens / words), rel=1e-5)


def test_the_state_of_a_training_survives_a_validation():
    model = model_of()
    windows = StreamWindows(model.codec.stream(TEXTS), 2)
    model._read_on("train", windows.batch(0, 3).inputs)
    before = model._carried["train"]
    evaluated(model, streams=1, window=4)
    assert model._carried["train"] is before
    assert not any(part.requires_grad for of_cell in before for part in of_cell)


@pytest.mark.parametrize("tokenizer", ["whitespace", "words", "characters", "bytes"])
def test_a_score_has_a_log_probability_for_each_token_and_the_end(tokenizer):
    model = model_of(codec_of(tokenizer))
    for text, score in zip(TEXTS, model.score(TEXTS), strict=True):
        assert score.tokens == [*model.codec.split(text), "</s>"]
        assert score.total == pytest.approx(sum(score.log_probabilities))
        (alone,) = model.score([text])
        assert_close(alone.log_probabilities, score.log_probabilities)


def test_a_backward_model_reads_what_a_forward_model_reads_of_reversed_texts():
    backward, forward = model_of(codec_of(backward=True)), model_of()
    reverse = [" ".join(reversed(text.split())) for text in TEXTS]
    for one, other in zip(backward.score(TEXTS), forward.score(reverse), strict=True):
        assert one.tokens == other.tokens
        assert_close(one.log_probabilities, other.log_probabilities)
    written = [" ".join(reversed(text.split())) for text in backward.generate(["film"] * 3)]
    assert written == forward.generate(["film"] * 3)
    with pytest.raises(ZooError, match="use generate"):
        next(backward.stream("film"))


@pytest.mark.parametrize("tokenizer", ["whitespace", "words", "characters", "bytes"])
@pytest.mark.parametrize("stop", ["", "o", "d f"])
def test_the_parts_of_a_stream_are_what_generate_writes(tokenizer, stop):
    model = model_of(codec_of(tokenizer))
    for seed in range(3):
        for prompt in ("", "the", "bad\na good"):
            options = {"seed": seed, "max_length": 12, "stop": stop}
            (whole,) = model.generate([prompt], **options)
            assert "".join(model.stream(prompt, **options)) == whole
            assert whole.startswith(prompt)
            assert not stop or stop not in whole[len(prompt) :]


def test_no_texts_have_no_scores_and_no_continuations():
    model = model_of()
    assert model.score([]) == [] and model.generate([]) == []


def test_a_continuation_depends_on_its_own_prompt_and_seed_only():
    model = model_of()
    alone = model.generate(["the film"], seed=1)
    assert model.generate(["the film", "", "a\ngood"], seed=1)[:1] == alone
    assert len({tuple(model.generate(["the film"], seed=seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("beam", [0, 2])
def test_many_prompts_are_continued_in_batches(beam):
    model = model_of()
    prompts = ["the film", "", "a\ngood", "bad", "the"] * 3
    whole = model.generate(prompts, beam=beam, max_length=6, seed=1)
    begin, rows = model.begin, []
    model.begin = lambda ids: rows.append(len(ids)) or begin(ids)
    assert model.generate(prompts, beam=beam, max_length=6, seed=1, max_tokens=40) == whole
    assert sum(rows) == len(prompts) and max(rows) <= 5


def test_the_most_probable_continuation_has_the_best_score_at_each_step():
    model = model_of()
    (greedy,) = model.generate(["the"], top_k=1, max_length=3)
    assert model.generate(["the"], beam=1, max_length=3) == [greedy]
    tokens = greedy.split()
    for place in range(1, len(tokens)):
        candidates = [" ".join([*tokens[:place], word]) for word in list(model.codec.vocabulary)[3:]]
        scores = model.score(candidates)
        best = max(scores, key=lambda score: score.log_probabilities[place])
        assert best.tokens[place] == tokens[place]


def test_an_unseen_character_of_a_prompt_is_refused_and_an_unseen_word_is_read_as_unknown():
    with pytest.raises(ZooError, match="the prompt 'zebra' has 'z', which the training split"):
        model_of(codec_of("characters")).generate(["zebra"])
    assert model_of().generate(["zebra"])[0].startswith("zebra")


@pytest.mark.parametrize("options", [{}, {"cutoffs": [5]}, {"tied": False}])
def test_a_saved_model_scores_and_writes_the_same(tmp_path, options):
    import zoo

    model = model_of(**options)
    again = zoo.from_pretrained(model.save_pretrained(tmp_path))
    assert again.score(TEXTS) == model.score(TEXTS)
    assert again.generate(["the"]) == model.generate(["the"])
