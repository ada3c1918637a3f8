"""Windows of streams: every token is predicted once, in the order of reading."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.batches.language_modeling import StreamWindows, TokenStream
from zoo.batches.ragged import Ragged

END = 2
LINES = st.lists(st.lists(st.integers(3, 9), max_size=6), min_size=1, max_size=8)


def stream_of(lines: list[list[int]], *, backward: bool = False) -> TokenStream:
    sizes = np.array([len(line) + 1 for line in lines])
    return TokenStream(
        Ragged.of([[*line, END] for line in lines]), words=sizes, characters=2 * sizes, backward=backward
    )


def read(lines: list[list[int]], *, backward: bool) -> list[int]:
    """All tokens in the order of reading, each line before its end."""
    if backward:
        return [token for line in reversed(lines) for token in [*reversed(line), END]]
    return [token for line in lines for token in [*line, END]]


@given(lines=LINES, backward=st.booleans(), streams=st.integers(1, 3), data=st.data())
def test_the_windows_of_a_pass_predict_each_token_once_in_order(lines, backward, streams, data):
    stream = stream_of(lines, backward=backward)
    expected = read(lines, backward=backward)
    shift = data.draw(st.integers(0, len(expected)))
    windows = StreamWindows(stream, min(streams, len(expected)))
    cuts = data.draw(st.sets(st.integers(1, max(1, windows.steps - 1)))) if windows.steps > 1 else set()
    targets = [[] for _ in range(min(streams, len(expected)))]
    read_ids = [[] for _ in targets]
    units = torch.zeros(2, dtype=torch.long)
    for start, end in pairwise([0, *sorted(cuts), windows.steps]):
        batch = windows.batch(start, end, shift=shift)
        assert batch.inputs.begins == (start == 0)
        units += batch.units
        for row, length in enumerate(batch.inputs.lengths.tolist()):
            targets[row] += batch.target_ids[row, :length].tolist()
            read_ids[row] += batch.inputs.token_ids[row, :length].tolist()
    predicted = [token for stream in targets for token in stream]
    assert predicted == [*expected[shift % len(expected) :], *expected[: shift % len(expected)]]
    # What is read is what was predicted one step before; a pass begins with the token before its first.
    before = [expected[(shift - 1) % len(expected)], *predicted[:-1]]
    assert [token for stream in read_ids for token in stream] == before
    words = sum(len(line) + 1 for line in lines)
    assert units.tolist() == [words, 2 * words]


@given(lines=LINES, streams=st.integers(1, 2), processes=st.integers(1, 3))
def test_processes_share_the_streams(lines, streams, processes):
    stream = stream_of(lines)
    total = streams * processes
    parts = [StreamWindows(stream, streams, first=rank * streams, total=total) for rank in range(processes)]
    targets = []
    for part in parts:
        batch = part.batch(0, part.steps)
        for row, length in enumerate(batch.inputs.lengths.tolist()):
            targets += batch.target_ids[row, :length].tolist()
    assert targets == read(lines, backward=False)
    assert len({part.steps for part in parts}) == 1
