"""The scores of each task, as torchmetrics, and how they are compared and printed."""
