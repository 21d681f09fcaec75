"""Show the state of the running service: the command `status` and its table."""
