"""Pictures: they are written, and show labels in any script."""

from __future__ import annotations

import pytest
import torch
from matplotlib import image

from recipes.reports.figures import confusion_matrix, drawable, precision_recall, reliability, worst_confusions


@pytest.fixture
def small_pictures() -> None:
    """These tests draw pictures in their full size."""


def test_labels_without_a_font_become_numbers():
    assert drawable(["ham", "spam"]) == ["ham", "spam"]
    assert drawable(["ham", "\U0010fffd"]) == ["#1", "#2"]


def test_one_prediction_makes_a_picture(tmp_path):
    one = torch.ones(1)
    pictures = [
        reliability(one, one > 0, 15, tmp_path / "a.png"),
        precision_recall({"x": (one, one, 1.0)}, tmp_path / "b.png"),
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_dollars_and_underscores_are_no_formulas_and_no_secrets(tmp_path):
    labels, one = ["$", "$$", "_hidden"], torch.ones(1)
    confusion_matrix([[1, 0, 0], [0, 1, 0], [0, 1, 0]], labels, labels, tmp_path / "a.png")
    worst_confusions([("$", "$$", 3)], tmp_path / "b.png")
    alone = precision_recall({"x": (one, one, 1.0)}, tmp_path / "c.png")
    hidden = precision_recall({"_": (one, one, 1.0)}, tmp_path / "d.png")
    # The same curve and another name: where a name was left out, the picture would be wider inside.
    widths = [(image.imread(path)[:, :, :3].min(-1) < 0.2).any(0).sum() for path in (alone, hidden)]
    assert abs(int(widths[0]) - int(widths[1])) < 20


def test_a_picture_of_many_labels_shows_a_few(tmp_path):
    names = [f"label {i}" for i in range(300)]
    counts = torch.eye(300, dtype=torch.long)
    counts[7, 250] = 5  # a mistake
    path = confusion_matrix(counts.tolist(), names, names, tmp_path / "a.png")
    assert max(image.imread(path).shape) < 4500
    one = torch.ones(1)
    path = precision_recall(dict.fromkeys(names, (one, one, 0.5)), tmp_path / "b.png")
    assert max(image.imread(path).shape) < 1500
