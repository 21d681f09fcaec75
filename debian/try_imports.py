"""Import every installed module of the daemon, to see that the package contains all that they need."""

import importlib
import pkgutil

import camiohookd

for module in pkgutil.walk_packages(camiohookd.__path__, "camiohookd."):
    importlib.import_module(module.name)
