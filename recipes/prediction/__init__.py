"""The command `predict`: its input and its output."""
