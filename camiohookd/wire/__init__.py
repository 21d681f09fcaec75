"""Camio's contract: an event as it comes in, a reply as it goes out."""
