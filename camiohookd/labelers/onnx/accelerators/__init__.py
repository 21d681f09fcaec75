"""Accelerators: which are there, whether they work, and the way back to the CPU when one fails."""
