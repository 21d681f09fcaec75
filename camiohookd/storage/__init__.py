"""The queue's files: a TinyDB storage with snapshot and journal, and append-only segments of payloads."""
