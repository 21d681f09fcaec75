"""Teach labels from examples: the commands `teach` and `taught`."""
