"""Generation over tiny random models: greedy search, sampling and beams agree with brute force."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.generation import NOTHING, Limits, beam_search, greedy, sample, select

TOKENS, SIZE, BEGIN, END = 5, 8, 0, 1


class Model:
    """A random recurrent model whose state is nested and whose source is read at every step."""

    def __init__(self, seed: int, sentences: int = 1, sharpness: float = 2.0):
        generator = torch.Generator().manual_seed(seed)
        self.recurrent, self.embedding, self.output = (
            sharpness * torch.randn(*shape, generator=generator) for shape in ((SIZE, SIZE), (9, SIZE), (SIZE, TOKENS))
        )
        self.source = (torch.randn(sentences, SIZE, generator=generator),)
        self.state = ((torch.zeros(sentences, SIZE),), torch.zeros(sentences, dtype=torch.long))
        self.rows = 0

    def step(self, tokens, state, source):
        (h,), t = state
        read = source[0].repeat_interleave(len(tokens) // len(source[0]), dim=0)  # (R, SIZE)
        h = torch.tanh(h @ self.recurrent / 3 + self.embedding[tokens] + read)
        self.rows += len(tokens)
        logits = h @ self.output
        logits[:, BEGIN] = float("-inf")
        return logits.log_softmax(-1), ((h,), t + 1)

    def log_probability(self, sentence: int, tokens: list[int]) -> float:
        one = torch.tensor([sentence])
        state, source, total = select(self.state, one), select(self.source, one), 0.0
        for before, token in zip([BEGIN, *tokens], [*tokens, END], strict=True):
            log_probabilities, state = self.step(torch.tensor([before]), state, source)
            total += float(log_probabilities[0, token])
        return total

    def only(self, rows: list[int]) -> tuple:
        return select(self.state, torch.tensor(rows)), select(self.source, torch.tensor(rows))


def brute_force(model: Model, sentence: int, limits: Limits, penalty: float = 0.0) -> list[tuple[float, list[int]]]:
    """The score of every output and its tokens, the best first."""
    one = torch.tensor([sentence])
    source = select(model.source, one)
    scored = []

    def walk(tokens: list[int], state: tuple, total: float) -> None:
        last = tokens[-1] if tokens else BEGIN
        log_probabilities, state = model.step(torch.tensor([last]), state, source)
        values = log_probabilities[0].tolist()
        if len(tokens) >= limits.min_length:
            scored.append(((total + values[END]) / ((6 + len(tokens)) / 6) ** penalty, tokens))
        if len(tokens) < limits.max_length:
            for token in range(2, TOKENS):
                walk([*tokens, token], state, total + values[token])

    walk([], select(model.state, one), 0.0)
    return sorted(scored, reverse=True)


def outputs(found):
    return [[hypothesis.tokens for hypothesis in best] for best in found]


@given(seed=st.integers(0, 1000), sentences=st.integers(1, 5), minimum=st.integers(0, 4), block=st.integers(0, 2))
@settings(max_examples=40)
def test_a_beam_of_one_is_greedy_search(seed, sentences, minimum, block):
    model, limits = Model(seed, sentences), Limits(BEGIN, END, 7, minimum, block)
    expected = greedy(model.step, model.state, model.source, limits)
    found = beam_search(model.step, model.state, model.source, limits, beam=1)
    assert outputs(found) == [[hypothesis.tokens] for hypothesis in expected]
    for (one,), other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5) == one.log_probability


@given(seed=st.integers(0, 1000), penalty=st.sampled_from([0.0, 0.6, 1.0]), minimum=st.integers(0, 2))
@settings(max_examples=15)
def test_a_beam_that_holds_every_output_is_brute_force(seed, penalty, minimum):
    model, limits = Model(seed, sentences=2), Limits(BEGIN, END, 4, minimum)
    # There are 1 + 3 + 9 + 27 + 81 outputs.
    options = dict(beam=121, n_best=10, length_penalty=penalty)
    found = beam_search(model.step, model.state, model.source, limits, **options)
    for sentence, best in enumerate(found):
        expected = brute_force(model, sentence, limits, penalty)[:10]
        assert [h.score for h in best] == pytest.approx([score for score, _ in expected], abs=1e-4)
        assert [h.tokens for h in best] == [tokens for _, tokens in expected]


@given(seed=st.integers(0, 1000), beam=st.integers(1, 6), penalty=st.sampled_from([0.0, 1.0]))
@settings(max_examples=30)
def test_scores_are_the_log_probabilities_of_the_model(seed, beam, penalty):
    model, limits = Model(seed, sentences=3), Limits(BEGIN, END, 6)
    found = beam_search(model.step, model.state, model.source, limits, beam=beam, n_best=beam, length_penalty=penalty)
    for sentence, best in enumerate(found):
        assert len(best) == beam == len({tuple(h.tokens) for h in best})
        assert [h.score for h in best] == sorted((h.score for h in best), reverse=True)
        for hypothesis in best:
            own = model.log_probability(sentence, hypothesis.tokens)
            assert hypothesis.log_probability == pytest.approx(own, abs=1e-4)
            factor = ((6 + len(hypothesis.tokens)) / 6) ** penalty
            assert hypothesis.score == pytest.approx(own / factor, abs=1e-4)


@given(seed=st.integers(0, 1000), order=st.permutations(range(6)), size=st.integers(1, 6))
@settings(max_examples=30)
def test_outputs_are_independent_of_batch_size_and_order(seed, order, size):
    model, limits = Model(seed, sentences=6), Limits(BEGIN, END, 8, block_ngrams=3)
    noise = torch.rand(6, 9, generator=torch.Generator().manual_seed(seed))
    ways = {
        "greedy": lambda rows: greedy(model.step, *model.only(rows), limits),
        "beam": lambda rows: beam_search(model.step, *model.only(rows), limits, beam=3, n_best=2, length_penalty=1.0),
        "sample": lambda rows: sample(model.step, *model.only(rows), limits, noise=noise[rows], top_p=0.9),
    }
    for name, way in ways.items():
        alone = [way([row])[0] for row in range(6)]
        found = [one for i in range(0, 6, size) for one in way(list(order[i : i + size]))]
        for row, one in zip(order, found, strict=True):
            expected = alone[row] if isinstance(alone[row], list) else [alone[row]]
            one = one if isinstance(one, list) else [one]
            assert [h.tokens for h in one] == [h.tokens for h in expected], name
            assert [h.score for h in one] == pytest.approx([h.score for h in expected], abs=1e-5), name


@given(seed=st.integers(0, 1000), minimum=st.integers(0, 5), extra=st.integers(1, 4), beam=st.integers(1, 4))
@settings(max_examples=40)
def test_outputs_keep_to_the_lengths(seed, minimum, extra, beam):
    model, limits = Model(seed, sentences=3), Limits(BEGIN, END, minimum + extra, minimum)
    found = beam_search(model.step, model.state, model.source, limits, beam=beam, n_best=beam)
    noise = torch.rand(3, minimum + extra + 1, generator=torch.Generator().manual_seed(seed))
    drawn = sample(model.step, model.state, model.source, limits, noise=noise)
    for tokens in [*itertools.chain(*outputs(found)), *(h.tokens for h in drawn)]:
        assert minimum <= len(tokens) <= minimum + extra
        assert END not in tokens and BEGIN not in tokens


@given(seed=st.integers(0, 1000), n=st.integers(1, 3), beam=st.integers(1, 4))
@settings(max_examples=40)
def test_blocked_ngrams_occur_once(seed, n, beam):
    model = Model(seed, sentences=3, sharpness=4.0)
    free = greedy(model.step, model.state, model.source, Limits(BEGIN, END, 20, 12))
    assert any(len({tuple(h.tokens[i : i + n]) for i in range(len(h.tokens) - n + 1)}) < 13 - n for h in free) or n == 3
    limits = Limits(BEGIN, END, 20, 12, n)
    for best in beam_search(model.step, model.state, model.source, limits, beam=beam, n_best=beam):
        for tokens in (h.tokens for h in best):
            ngrams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
            assert len(ngrams) == len(set(ngrams))
            # With n = 1, no token is left after three.
            if n == 1:
                assert len(tokens) == 3


def test_finished_sentences_leave_the_batch():
    model, limits = Model(3, sentences=40), Limits(BEGIN, END, 30)
    greedy(model.step, model.state, model.source, limits)
    together = model.rows
    lengths = [len(h.tokens) + 1 for h in greedy(model.step, model.state, model.source, limits)]
    assert together == sum(lengths) < 40 * max(lengths)


def test_a_sentence_stays_in_the_batch_while_a_better_output_is_possible():
    """Ending at once and writing four certain tokens are equally probable; by its length the second is better."""

    def step(tokens, state, source):
        (t,) = state
        probabilities = torch.full((len(tokens), TOKENS), 1e-9)
        probabilities[:, 2] = torch.where(t < 4, 1.0, 1e-9)
        probabilities[:, END] = torch.where(t < 4, 1e-9, 1.0)
        probabilities[t == 0, 2] = probabilities[t == 0, END] = 0.5
        return probabilities.log(), (t + 1,)

    state, limits = (torch.zeros(1, dtype=torch.long),), Limits(BEGIN, END, 6)
    ((best,),) = beam_search(step, state, (), limits, beam=2, length_penalty=1.0)
    assert best.tokens == [2, 2, 2, 2] and best.score == pytest.approx(math.log(0.5) * 6 / 10, abs=1e-5)


def test_the_coverage_penalty_is_added_to_the_score():
    """The coverage here is the number of steps: a longer output has a smaller penalty."""
    model, limits = Model(1, sentences=2), Limits(BEGIN, END, 5)
    options = dict(beam=364, n_best=364, coverage=lambda state, source: state[1].float() - 6)
    plain, covered = (
        beam_search(model.step, model.state, model.source, limits, coverage_penalty=weight, **options)
        for weight in (0.0, 0.5)
    )
    for before, after in zip(plain, covered, strict=True):
        expected = {tuple(h.tokens): h.score + 0.5 * (len(h.tokens) - 5) for h in before}
        assert {tuple(h.tokens): h.score for h in after} == pytest.approx(expected, abs=1e-4)
        assert [h.tokens for h in before] != [h.tokens for h in after]


def test_samples_follow_the_distribution():
    model, limits = Model(5, sentences=1, sharpness=1.0), Limits(BEGIN, END, 3)
    n = 4000
    state, source = model.only([0] * n)
    noise = torch.rand(n, 4, generator=torch.Generator().manual_seed(0))
    counts: dict[tuple, int] = {}
    for hypothesis in sample(model.step, state, source, limits, noise=noise):
        counts[tuple(hypothesis.tokens)] = counts.get(tuple(hypothesis.tokens), 0) + 1
    # At the largest length the end is certain, whatever its probability in the model.
    p = math.exp(model.log_probability(0, []))
    assert counts.get((), 0) / n == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / n) + 1e-3)
    q = math.exp(model.log_probability(0, [2]))
    assert counts.get((2,), 0) / n == pytest.approx(q, abs=4 * math.sqrt(q * (1 - q) / n) + 1e-3)


def test_narrow_sampling_is_greedy_search():
    model, limits = Model(7, sentences=4), Limits(BEGIN, END, 9)
    noise = torch.rand(4, 10, generator=torch.Generator().manual_seed(0))
    expected = [h.tokens for h in greedy(model.step, model.state, model.source, limits)]
    for narrow in (dict(top_k=1), dict(top_p=1e-6), dict(temperature=1e-4)):
        drawn = sample(model.step, model.state, model.source, limits, noise=noise, **narrow)
        assert [h.tokens for h in drawn] == expected, narrow
    drawn = sample(model.step, model.state, model.source, limits, noise=noise, temperature=5.0)
    assert [h.tokens for h in drawn] != expected


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m, limits: beam_search(m.step, m.state, m.source, limits, beam=0), "beam of at least 1.*got 0"),
        (lambda m, limits: beam_search(m.step, m.state, m.source, limits, beam=2, n_best=3), "got 2 and 3"),
        (lambda m, limits: beam_search(m.step, m.state, m.source, limits, beam=2, length_penalty=-1.0), "0 or more"),
        (lambda m, limits: beam_search(m.step, m.state, m.source, limits, beam=2, coverage_penalty=1.0), "attention"),
        (lambda m, limits: sample(m.step, m.state, m.source, limits, noise=torch.rand(1, 4), top_p=0.0), "top_p"),
        (lambda m, limits: Limits(BEGIN, END, max_length=3, min_length=4), "min_length=4 and max_length=3"),
        (lambda m, limits: Limits(BEGIN, END, max_length=3, block_ngrams=-1), "block_ngrams"),
    ],
)
def test_options_out_of_range_are_refused(call, message):
    with pytest.raises(ZooError, match=message):
        call(Model(0), Limits(BEGIN, END, 3))


@given(seed=st.integers(0, 1000), lengths=st.lists(st.integers(0, 4), min_size=3, max_size=3), block=st.integers(0, 2))
@settings(max_examples=30)
def test_a_prompt_is_continued_like_the_whole_output(seed, lengths, block):
    model = Model(seed, sentences=3)
    whole = greedy(model.step, model.state, model.source, Limits(BEGIN, END, 7, 5, block))
    # The prompt of each sentence, and the state after all of its tokens except the last.
    prompts = [[BEGIN, *hypothesis.tokens[:n]] for hypothesis, n in zip(whole, lengths, strict=True)]
    states = []
    for row, prompt in enumerate(prompts):
        state, source = model.only([row])
        for token in prompt[:-1]:
            _, state = model.step(torch.tensor([token]), state, source)
        states.append(state)
    state = ((torch.cat([h for (h,), _ in states]),), torch.cat([t for _, t in states]))
    longest = max(map(len, prompts))
    filled = torch.tensor([[NOTHING] * (longest - len(prompt)) + prompt for prompt in prompts])
    # Limits count only new tokens, so that each row has its own.
    for row, length in enumerate(lengths):
        limits = Limits(BEGIN, END, 7 - length, max(0, 5 - length), block)
        one = torch.tensor([row])
        given = (model.step, select(state, one), select(model.source, one), limits)
        (found,) = greedy(*given, prompt=filled[one])
        assert found.tokens == whole[row].tokens[length:]
        ((best,),) = beam_search(*given, beam=1, prompt=filled[one])
        assert best.tokens == found.tokens
    limits = Limits(BEGIN, END, 3, block_ngrams=block)
    together = greedy(model.step, state, model.source, limits, prompt=filled)
    for row, found in enumerate(together):
        one = torch.tensor([row])
        given = (model.step, select(state, one), select(model.source, one), limits)
        (alone,) = greedy(*given, prompt=torch.tensor([prompts[row]]))
        assert found.tokens == alone.tokens
        together_beam = beam_search(model.step, state, model.source, limits, beam=3, prompt=filled)
        (alone_beam,) = beam_search(*given, beam=3, prompt=torch.tensor([prompts[row]]))
        assert [h.tokens for h in together_beam[row]] == [h.tokens for h in alone_beam]


@pytest.mark.parametrize("prompt", [torch.zeros(2), torch.zeros(3, 0).long(), torch.tensor([[2], [3], [NOTHING]])])
def test_an_invalid_prompt_is_refused(prompt):
    model = Model(0, sentences=3)
    for search in (greedy, lambda *given, **prompt: beam_search(*given, beam=2, **prompt)):
        with pytest.raises(ZooError, match="expected a prompt of integers"):
            search(model.step, model.state, model.source, Limits(BEGIN, END, 3), prompt=prompt)
