"""Imports every module of the daemon, as it is installed: nothing that one of them needs may have been left out."""

import importlib
import pkgutil

import camiohookd

for module in pkgutil.walk_packages(camiohookd.__path__, "camiohookd."):
    importlib.import_module(module.name)
