"""The owner's own code: a Python file with `compute_labels`, or a program."""
