"""Manage the models: the command `models`, which lists, adds and downloads them.

`trial` runs a model once, `tables` reads what an exporter wrote into it, `add` and `get` put it into the models folder.
"""
