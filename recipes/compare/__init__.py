"""The command that compares finished runs."""
