"""Neural modules: tensors in, tensors out. They know no strings and no files."""
