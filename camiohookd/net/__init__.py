"""URLs and IP addresses, judged without a network."""
