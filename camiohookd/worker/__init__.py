"""The loops that take tasks from the queue: label an event, deliver its reply."""
