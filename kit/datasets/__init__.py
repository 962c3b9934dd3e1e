"""What is learned from: `load` a dataset by name, for real or synthetic; `cards` say what each is and who made it."""

from .dataset import Dataset, Split
from .registry import cards, names
from .sources import load

__all__ = ["Dataset", "Split", "cards", "load", "names"]
