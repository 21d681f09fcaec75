"""Parse and judge URLs and IP addresses; nothing here uses the network."""
