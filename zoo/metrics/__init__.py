"""Scores of each task, as torchmetrics."""
