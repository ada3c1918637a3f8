"""Trainings that run from the command line: `python -m recipes.pos_tagging`."""
