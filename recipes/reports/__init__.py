"""Reports of a run: tables, figures and examples of each task."""
