"""Disk, clock, signals, logs, the process itself and systemd."""
