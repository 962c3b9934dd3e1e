"""Models: plain functions that return an uncompiled `keras.Model`."""

from .mlp import large_mlp, medium_mlp, mlp, small_mlp

__all__ = ["large_mlp", "medium_mlp", "mlp", "small_mlp"]
