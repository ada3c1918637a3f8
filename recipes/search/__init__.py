"""Searches for settings of a recipe that score better on dev."""
