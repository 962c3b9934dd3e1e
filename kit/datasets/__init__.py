"""What is learned from: `load` a dataset, real or synthetic, or take one's own; `cards` say what each is."""

from .arrays import from_arrays
from .card import Card, File
from .dataset import Dataset, Split
from .folder import from_folder
from .pictures import photograph
from .registry import cards, names
from .sources import load

__all__ = ["Card", "Dataset", "File", "Split", "cards", "from_arrays", "from_folder", "load", "names", "photograph"]
