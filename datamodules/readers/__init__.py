"""One reader for each format of file: from a file to plain examples."""
