"""The loops that take tasks from the queue: one kind labels events, the other delivers replies."""
