"""The running service: `wiring` makes its parts, `lifecycle` says in which order they start, reload and stop."""
