"""Weights in fp16 and int8: how exactly they are read again, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.storage import CLIPPED, GROUP, SCALES, SMALLEST, read_weights, shapes_of_weights, stored_weights

SHAPES = st.sampled_from([(100, 16), (16, 64), (16, 65), (9, 200), (3, 7, 50), (1, 2000)])


def stored_and_read(weight: torch.Tensor, dtype: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    stored = stored_weights({"w": weight}, dtype)
    (read,) = read_weights(stored).values()
    return stored, read


@given(SHAPES, st.floats(1e-6, 1e6), st.integers(0, 2**32))
def test_a_matrix_in_int8_is_as_exact_as_the_nearest_of_255_values(shape, size, seed):
    weight = size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    stored, read = stored_and_read(weight, "int8")
    assert stored["w"].dtype == torch.int8 and stored[f"w{SCALES}"].dtype == torch.bfloat16
    assert read.dtype == torch.float32 and read.shape == weight.shape
    squares = plain_squares = 0.0
    for row, other in zip(weight.flatten(1), read.flatten(1), strict=True):
        for group, of_group in zip(row.split(GROUP), other.split(GROUP), strict=True):
            most = group.abs().max()
            # A scale in bf16 is off by 2^-9 at most.
            assert (group - of_group).abs().max() <= most * (1.01 - CLIPPED[-1])
            plain = (group * 127 / most).round() * most / 127
            squares += (group - of_group).square().sum()
            plain_squares += (group - plain).square().sum()
    # Rounding with a scale of max |w| / 127, which is in fp32 here, is no better. A few weights may be lucky.
    assert squares < 1.1 * plain_squares


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_zeros_integers_and_vectors_are_exact(dtype):
    weights = {
        "zeros": torch.zeros(SMALLEST, 64),
        "vector": torch.arange(2000.0),
        "small": torch.tensor([[0.25, 3.0]]),
        "ids": torch.arange(3000).view(3, 1000),
        "narrow": torch.rand(SMALLEST, 2).half().float(),
        "none": torch.zeros(0, 5),
    }
    read = read_weights(stored_weights(weights, dtype))
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name].to(weight.dtype), weight) for name, weight in weights.items())


def test_float32_is_bit_equal_and_int8_takes_half_of_float16():
    weight = torch.randn(512, 256)
    assert torch.equal(stored_and_read(weight, "float32")[1], weight)
    sizes = {
        dtype: sum(value.nbytes for value in stored_weights({"w": weight}, dtype).values())
        for dtype in ("float32", "float16", "int8")
    }
    assert sizes["float16"] == sizes["float32"] / 2
    assert sizes["int8"] < 0.52 * sizes["float16"]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (1e5, "float16", "a weight of w exceeds 65504"),
        (float("nan"), "int8", "a weight of w is NaN or infinite"),
        (float("inf"), "int8", "a weight of w is NaN or infinite"),
        (1.0, "int4", "unknown dtype 'int4': .*known are float16, float32, int8"),
    ],
)
def test_what_a_dtype_cannot_represent_is_refused(value, dtype, message):
    with pytest.raises(ZooError, match=message):
        stored_weights({"w": torch.full((SMALLEST, 64), value)}, dtype)


def test_scales_that_fit_no_matrix_are_refused():
    assert shapes_of_weights({"w": (8, 130), f"w{SCALES}": (8, 3)}) == {"w": (8, 130)}
    for scales in [(8, 2), (8, 4), (7, 3), (8, 3, 1), ()]:
        with pytest.raises(ZooError, match="no scales of a matrix of shape"):
            shapes_of_weights({"w": (8, 130), f"w{SCALES}": scales})
    with pytest.raises(ZooError, match="no scales of a matrix of shape"):
        shapes_of_weights({f"w{SCALES}": (8, 3)})
