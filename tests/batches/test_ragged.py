"""Ragged arrays: what they hold and how it is padded, as lists of lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zoo.batches.ragged import Ragged, StringLists

SEQUENCES = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), min_size=1, max_size=12)


@given(SEQUENCES)
def test_it_holds_its_sequences(sequences):
    ragged = Ragged.of(sequences)
    assert len(ragged) == len(sequences)
    assert [ragged[row].tolist() for row in range(len(ragged))] == sequences
    assert ragged.lengths.tolist() == [len(sequence) for sequence in sequences]


@given(SEQUENCES, st.data())
def test_sequences_are_taken_and_padded_in_the_order_asked_for(sequences, data):
    rows = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=15))
    ragged = Ragged.of(sequences)
    expected = [sequences[row] for row in rows]
    for chosen in (rows, np.array(rows)):
        taken = ragged.take(chosen)
        assert [taken[row].tolist() for row in range(len(taken))] == expected
        longest = max(map(len, expected))
        padded = [sequence + [0] * (longest - len(sequence)) for sequence in expected]
        assert ragged.padded(chosen).tolist() == padded


@given(st.lists(st.lists(st.text(st.characters(), max_size=4), max_size=4), min_size=1, max_size=6), st.data())
def test_lists_of_strings_come_back(lists, data):
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), min_size=1, max_size=8))
    assert StringLists.of(lists).take(rows) == [lists[row] for row in rows]
