"""Label files: the command `label`, its table, its JSON and its annotated pictures."""
