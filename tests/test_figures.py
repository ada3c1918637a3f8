"""Pictures: they are written, and show labels in any script."""

from __future__ import annotations

import torch

from recipes.figures import drawable, precision_recall, reliability


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
