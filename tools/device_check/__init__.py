"""The sections of `tools/gpu_check.py`, each a function from a `Setting` to Markdown."""
