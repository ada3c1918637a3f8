"""Pretrained models: which there are, how one is loaded, and the bundled ones."""
