"""Models: plain functions that return an uncompiled `keras.Model`, and an MLP written out in NumPy."""

from . import numpy_mlp
from .cnn import cnn, filter_ladder
from .mlp import large_mlp, medium_mlp, mlp, small_mlp

__all__ = ["cnn", "filter_ladder", "large_mlp", "medium_mlp", "mlp", "numpy_mlp", "small_mlp"]
