"""An epoch that goes on with another plan trains each row once."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from datamodules.budget import TokenBudget
from datamodules.planning import EpochPlanner
from datamodules.remainder import Part, Remainder
from tests.datamodules.test_sampler import BUDGET, Seen, fit, spam


def rows_of(batches) -> list[int]:
    return [int(row) for batch in batches for row in batch]


@pytest.mark.parametrize("changes", [[(2, 60, 3), (1, 60, 0)], [(1, 40, 5), (3, 40, 2), (2, 90, 0)]], ids=str)
def test_all_parts_of_an_epoch_are_a_permutation(changes):
    lengths = [random.Random(i).randint(1, 20) for i in range(100)]
    parts, trained = [], []
    for processes, max_tokens, steps in changes:
        rest = Remainder(lengths, parts, epoch=4, seed=1)
        for rank in range(processes):
            batches = rest.batches(max_tokens, processes, rank)
            assert len(batches) == rest.num_steps(max_tokens, processes)
            trained += rows_of(batches[step] for step in range(steps or len(batches)))
        parts.append(Part(processes, max_tokens, steps))
    assert sorted(trained) == list(range(100))


def test_without_parts_the_rest_is_the_epoch():
    lengths = [random.Random(i).randint(1, 20) for i in range(100)]
    epoch = EpochPlanner(lengths, 50, processes=2, seed=1).batches(3, 1)
    rest = Remainder(lengths, (), epoch=3, seed=1).batches(50, 2, 1)
    assert [epoch[i].tolist() for i in range(len(epoch))] == [rest[i].tolist() for i in range(len(rest))]


def test_a_budget_that_was_found_is_kept_when_the_training_resumes(tmp_path, monkeypatch, capsys):
    def training(found: int, checkpoint=None, **options) -> Seen:
        """A training that would find this budget."""
        data = spam()
        data.token_budget.max_tokens = "auto"
        monkeypatch.setattr(TokenBudget, "_search", lambda self, trainer, data: found)
        seen = Seen(**options)
        try:
            fit(seen=seen, data=data, checkpoint=checkpoint, max_epochs=1)
        except SystemExit:
            assert options
        return seen

    whole = training(80)
    stopped = training(80, stop_after=3, folder=tmp_path)
    resumed = training(200, checkpoint=tmp_path / "stopped.ckpt")
    assert stopped.train[0] + resumed.train[0] == whole.train[0]
    assert "resuming with" not in capsys.readouterr().err


class Scored(Seen):
    """Also counts the validations."""

    validations = 0

    def on_validation_end(self, trainer, model):
        self.validations += 1


@pytest.mark.parametrize("budgets", [(BUDGET, 160), (BUDGET, 60, 100), (160, 70, 160)], ids=str)
@pytest.mark.parametrize("batches", [1, 4])
def test_a_training_that_goes_on_with_another_budget_sees_each_example_once(budgets, batches, tmp_path, capsys):
    seen, checkpoint = [], None
    for budget in budgets:
        data = spam()
        data.token_budget.max_tokens = budget
        last = budget is budgets[-1] and len(seen) == len(budgets) - 1
        scored = Scored(stop_after=None if last else batches, folder=tmp_path)
        seen.append(scored)
        if last:
            fit(seen=scored, data=data, checkpoint=checkpoint, max_epochs=2)
        else:
            with pytest.raises(SystemExit):
                fit(seen=scored, data=data, checkpoint=checkpoint, max_epochs=2)
        checkpoint = tmp_path / "stopped.ckpt"
    for epoch in range(2):
        rows = sorted(rows_of(chain.from_iterable(part.train.get(epoch, []) for part in seen)))
        assert rows == list(range(100))
    assert seen[-1].validations == 2
    assert "each example of the epoch is trained once, but in other batches" in capsys.readouterr().err
