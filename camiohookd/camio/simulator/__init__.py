"""Plays Camio: posts events made of real pictures, receives the labels, and holds each reply against the contract.

`events` makes the payloads → `fake_camio` serves their callback URLs → `session` posts them and waits → `contract`
checks each reply, also against what is known of the bundled photographs (`samples`) → `report` puts it into words.
"""
