"""`predict` on the command line: what it reads and what it writes."""
