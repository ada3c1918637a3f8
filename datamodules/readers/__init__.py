"""One reader for each file format. A reader turns a file into examples."""
