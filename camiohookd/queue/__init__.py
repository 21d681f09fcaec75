"""The durable queue: verbs on tasks, run by one store thread."""
