"""Baselines: answers that need no network, so that a score means something."""
