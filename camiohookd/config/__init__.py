"""The settings: where they are read from, what they may be, and the API keys."""
