"""Scores of an evaluation as functions of its examples, with intervals, and how two evaluations differ."""
