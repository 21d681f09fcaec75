"""Camio's side: its hooks API, its queries, and a simulator that plays Camio for `simulate`, the demo and the tests."""
