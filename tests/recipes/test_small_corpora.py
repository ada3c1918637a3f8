"""Defaults follow the size of the corpus, and what a user gives comes first."""

from __future__ import annotations

import pytest
from command_line import run

from recipes import spam
from recipes.runner import flags
from zoo import from_pretrained

TINY = (
    "--out=run", "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.limit_train_batches=1",
    "--trainer.limit_val_batches=1", "--model.hidden_size=4", "--model.embedding_size=4", "--data.tokenizer=words",
)  # fmt: skip


@pytest.mark.parametrize(
    "smallest_large, args, adversarial",
    [
        (10_000, [], 0.1),
        (10_000, ["--model.regularization.adversarial=0.2"], 0.2),
        (10_000, ["--config=given.yaml"], 0.3),
        (2, [], 0.0),
    ],
    ids=["small", "flag", "config", "large"],
)
def test_a_small_corpus_has_defaults_of_its_own(smallest_large, args, adversarial, tmp_path, monkeypatch):
    monkeypatch.setattr(flags, "SMALL_CORPUS", smallest_large)
    (tmp_path / "given.yaml").write_text("model:\n  regularization:\n    adversarial: 0.3\n")
    run("spam", "fit", *TINY, *args, cwd=tmp_path)
    assert from_pretrained(tmp_path / "run").regularization.adversarial == adversarial
    run("spam", "fit", *TINY[:1], "--resume", "--trainer.max_epochs=2", cwd=tmp_path)
    assert from_pretrained(tmp_path / "run").regularization.adversarial == adversarial


def test_defaults_of_small_corpora_are_flags():
    assert spam.RECIPE.small_corpus and not set(spam.RECIPE.small_corpus) & set(spam.RECIPE.defaults)
