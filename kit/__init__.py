"""A course kit that reproduces five deep-learning reports: data, models, training, studies, searches, plots.

Importing it imports nothing heavy: each part is loaded when it is first named.
"""

import importlib

__version__ = "0.2.0"
__all__ = ["datasets", "machine", "models", "plots", "profile", "reports", "search", "studies", "training"]


def __getattr__(name):
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
