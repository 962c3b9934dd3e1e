"""Training: `fit`, an epoch as one compiled program."""

from .fit import fit

__all__ = ["fit"]
