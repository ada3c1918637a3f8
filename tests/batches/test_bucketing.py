"""Batches: every row once, within the budget, equal numbers on every process, and the right ids."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from datamodules.planning import EpochPlanner
from datamodules.sampler import Batches, EpochSampler, Position, batch_loader
from zoo.batches.bucketing import SPARE_ROWS, group_by_length, group_for_prediction
from zoo.batches.indexers import FormIndexer
from zoo.batches.ragged import Ragged
from zoo.batches.tagging import Sentences, TaggingDataset
from zoo.errors import ZooError
from zoo.text import Vocabulary

LENGTHS = st.lists(st.integers(1, 30), min_size=8, max_size=60)


def encoded(sentences: list[list[str]], tag_ids=None, lowercase: bool = True) -> TaggingDataset:
    words = Vocabulary.fit(t.lower() if lowercase else t for s in sentences for t in s)
    characters = Vocabulary.fit(c for s in sentences for t in s for c in t)
    indexer = FormIndexer(words, characters, Vocabulary(()), lowercase=lowercase)
    tag_ids = tag_ids or [[0] * len(sentence) for sentence in sentences]
    return TaggingDataset(Sentences.of(sentences, indexer), Ragged.of(tag_ids))


@given(LENGTHS, st.integers(1, 80))
def test_groups_have_every_row_once_and_keep_to_the_budget(lengths, budget):
    batches = group_by_length(lengths, budget)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= budget
    longest = [max(lengths[row] for row in rows) for rows in batches]
    assert longest == sorted(longest)


def test_an_empty_row_does_not_break_the_budget():
    assert group_by_length([14, 0, 3], 5, max_padding=0) == [[1], [2], [0]]


def test_rows_of_equal_length_keep_the_given_order():
    assert group_by_length([5, 3, 5, 5], 100, [2, 0, 1, 3]) == [[1, 2, 0, 3]]


@given(LENGTHS, st.integers(1, 80), st.integers(0, 4))
def test_groups_keep_to_the_largest_padding(lengths, budget, max_padding):
    batches = group_by_length(lengths, budget, max_padding=max_padding)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    sizes = [[lengths[row] for row in rows] for rows in batches]
    for size in sizes:
        assert len(size) == 1 or len(size) * max(size) <= budget
        assert len(size) * max(size) - sum(size) <= max_padding * max(size)
    # No batch ends before it has to.
    for size, after in itertools.pairwise(sizes):
        more = [*size, after[0]]
        full = len(more) * max(more) > budget
        assert full or len(more) * max(more) - sum(more) > max_padding * max(more)


@given(LENGTHS.map(lambda lengths: lengths * 9), st.integers(300, 900))
def test_predictions_on_a_cpu_have_little_padding(lengths, budget):
    # The tagger leaves out some rows, the empty sentences.
    some = range(0, len(lengths), 2)
    batches = group_for_prediction(lengths, budget, torch.device("cpu"), some)
    assert sorted(itertools.chain(*batches)) == list(some)
    for rows in batches:
        longest = max(lengths[row] for row in rows)
        assert sum(longest - lengths[row] for row in rows) <= SPARE_ROWS * longest
    elsewhere = group_for_prediction(lengths, budget, torch.device("cuda"), some)
    assert elsewhere == group_by_length(lengths, budget, some)


PAIRS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=8, max_size=60)


def one_by_one(lengths, budget, max_padding):
    """Batches that are filled row by row, by the definition of a batch's size and padding."""
    order = sorted(range(len(lengths)), key=lambda row: (*(n // 2 for n in lengths[row][:-1]), lengths[row][::-1]))
    batches = [[]]
    for row in order:
        more = [*batches[-1], row]
        longest = max(1, sum(max(lengths[i][side] for i in more) for side in range(len(lengths[0]))))
        padding = len(more) * longest - sum(sum(lengths[i]) for i in more)
        if len(more) > 1 and (len(more) * longest > budget or padding > max_padding * longest):
            batches.append([row])
        else:
            batches[-1] = more
    return batches


@given(
    st.one_of(
        st.lists(st.tuples(st.integers(0, 9)), min_size=1, max_size=80),
        st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=80),
    ),
    st.integers(1, 80),
    st.sampled_from([0, 1, 2.5, 8, math.inf]),
)
def test_groups_are_those_of_a_batch_filled_row_by_row(lengths, budget, max_padding):
    found = group_by_length(lengths, budget, max_padding=max_padding)
    expected = one_by_one(lengths, budget, max_padding)
    assert [[lengths[row] for row in rows] for rows in found] == [[lengths[row] for row in rows] for rows in expected]


def steps_of(lengths, budget, *, processes=1, seed=3, epoch=0):
    """The steps of an epoch: a list of rows for each process."""
    planner = EpochPlanner(lengths, budget, processes=processes, seed=seed)
    plans = [planner.batches(epoch, rank) for rank in range(processes)]
    assert {len(plan) for plan in plans} == {planner.num_steps}
    return [[plan[step].tolist() for plan in plans] for step in range(planner.num_steps)]


@example([(2, 2), (2, 1), (2, 1), (4, 2), (2, 3), (4, 1), (1, 3), (3, 2)], 10, 1, 5)
@given(st.one_of(LENGTHS, PAIRS), st.integers(1, 80), st.integers(1, 4), st.integers(0, 5))
def test_an_epoch_gives_every_process_equally_many_batches(lengths, budget, processes, epoch):
    plan = steps_of(lengths, budget, processes=processes, epoch=epoch)
    assert all(len(step) == processes and all(step) for step in plan)
    assert sorted(row for step in plan for rows in step for row in rows) == list(range(len(lengths)))
    assert plan == steps_of(lengths, budget, processes=processes, epoch=epoch)
    # Lightning asks only once how long an epoch is.
    assert len(steps_of(lengths, budget, processes=processes)) == len(plan)


@given(st.one_of(LENGTHS, PAIRS), st.integers(1, 80), st.integers(1, 4))
def test_a_step_has_batches_of_similar_lengths_within_the_budget(lengths, budget, processes):
    grouped = group_by_length(lengths, budget)
    few = len(grouped) + -len(grouped) % processes > len(lengths)
    sizes = [length if isinstance(length, tuple) else (length,) for length in lengths]
    keys = []
    for step in steps_of(lengths, budget, processes=processes):
        for rows in step:
            longest = sum(map(max, zip(*(sizes[row] for row in rows), strict=True)))
            assert few or len(rows) == 1 or len(rows) * longest <= budget
        of_step = [(*(n // 2 for n in sizes[row][:-1]), sizes[row][::-1]) for rows in step for row in rows]
        keys.append((min(of_step), max(of_step)))
    # The lengths of two steps do not interleave.
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(sorted(keys)))


def test_epochs_and_seeds_differ():
    lengths = [5] * 40
    plans = [steps_of(lengths, 20, seed=s, epoch=e) for s in (-1, 0, 1) for e in (0, 1)]
    assert all(a != b for a, b in itertools.combinations(plans, 2))


def test_an_epoch_shuffles_its_steps_and_the_rows_of_a_length():
    lengths = [n for n in range(1, 9) for _ in range(100)]
    steps = steps_of(lengths, 80)
    longest = [lengths[step[0][-1]] for step in steps]
    assert longest != sorted(longest)
    # In the order of the split, rows of one length would be neighbours.
    assert any(rows != list(range(rows[0], rows[0] + len(rows))) for (rows,) in steps)


def test_fewer_rows_than_processes_are_refused():
    with pytest.raises(ZooError, match="use fewer devices"):
        EpochPlanner([3, 4], 10, processes=3)


SENTENCES = [["The", "cat", "sat"], ["the", "Dog"], ["cats"], ["A", "the", "cat", "A"], ["sat"]]


def test_a_batch_has_the_characters_of_its_sentences():
    data = encoded(SENTENCES, tag_ids=[[0, 1, 2], [0, 1], [1], [0, 0, 1, 0], [2]])
    batch = data.batch([3, 1])
    assert batch.inputs.lengths.tolist() == [4, 2]
    assert batch.rows.tolist() == [3, 1]
    assert batch.tag_ids.tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    forms = batch.inputs.forms
    # A, the, cat and Dog: each once.
    assert len(forms.word_ids) == 4
    rebuilt = Vocabulary.fit(c for s in SENTENCES for t in s for c in t)
    for row, sentence in zip(batch.inputs.form_ids, (SENTENCES[3], SENTENCES[1]), strict=True):
        for form, token in zip(row, sentence, strict=False):
            ids = forms.character_ids[form, : forms.lengths[form]].tolist()
            assert "".join(rebuilt[i] for i in ids) == token
    # Cut to the longest form of this batch.
    assert forms.character_ids.shape[1] == 3


def test_words_share_an_id_across_case_and_characters_do_not():
    data = encoded([["The", "the"]])
    assert data.sentences.forms.word_ids.tolist() == [2, 2]
    assert data.sentences.forms.character_ids[0].tolist() != data.sentences.forms.character_ids[1].tolist()
    assert encoded([["The", "the"]], lowercase=False).sentences.forms.word_ids.tolist() != [2, 2]


def test_long_forms_keep_both_ends():
    indexer = FormIndexer(Vocabulary.fit([]), Vocabulary.fit("abc"), Vocabulary(()), max_characters=6)
    character_ids, lengths = indexer.spell(["aaabbbbbbccc", "abc"])
    assert lengths.tolist() == [6, 3]
    assert character_ids[0].tolist() == Vocabulary.fit("abc").ids("aaaccc")


def loader(data: TaggingDataset, budget: int, **options) -> DataLoader:
    dataset = Batches(data)
    return batch_loader(dataset, EpochSampler(dataset, budget, **options))


def test_a_resumed_epoch_has_the_remaining_batches():
    data = encoded([[f"w{i}"] * (i % 5 + 1) for i in range(40)])
    for epoch in range(3):
        whole = loader(data, 10, seed=4)
        whole.sampler.set_epoch(epoch)
        rest = loader(data, 10, seed=4, start=lambda epoch=epoch: Position(epoch, 3))
        assert [b.inputs.lengths.tolist() for b in rest] == [b.inputs.lengths.tolist() for b in whole][3:]
        assert len(rest) == len(whole)


def test_epochs_differ_and_each_can_be_repeated():
    one = loader(encoded([[f"w{i}"] for i in range(12)]), 2)
    epochs = []
    for epoch in (0, 1, 0):
        one.sampler.set_epoch(epoch)
        epochs.append([b.inputs.forms.word_ids.tolist() for b in one])
    assert epochs[0] == epochs[2] != epochs[1]


def test_processes_share_the_rows_of_an_epoch():
    data = encoded([[f"w{i}"] * (i % 4 + 1) for i in range(30)])
    loaders = [loader(data, 8, rank=rank, processes=2) for rank in (0, 1)]
    assert len(loaders[0]) == len(loaders[1])
    rows = [n for each in loaders for batch in each for n in batch.inputs.lengths.tolist()]
    assert sorted(rows) == sorted(data.lengths)
