"""Pretrained models: their list, their loading, and the bundled ones."""
