"""An optimizer step has the gradient of all its batches together: accumulated ones, and those of all processes."""

from __future__ import annotations

import pytest
from unions import CASES, check_unions


@pytest.mark.parametrize("case", CASES)
def test_accumulated_batches_have_the_gradient_of_one(case):
    # Five batches in an epoch: the last step has two.
    check_unions(case, accumulate_grad_batches=3)


@pytest.mark.parametrize(
    "case, accumulated", [*((case, 3) for case in CASES), ("softmax", 1), ("class weights", 1), ("translation", 1)]
)
def test_processes_have_the_gradient_of_one(case, accumulated):
    check_unions(case, accumulate_grad_batches=accumulated, devices=2, strategy="ddp_fork")
