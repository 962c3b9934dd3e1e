"""Searches over hyper-parameters: one space, one result table, the real library each time."""

from ._keras_tuner import keras_tuner
from ._talos import talos
from .trials import SearchResult

__all__ = ["SearchResult", "keras_tuner", "talos"]
