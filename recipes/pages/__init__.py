"""The page of a run, and the page of several runs: HTML files that need no network."""
