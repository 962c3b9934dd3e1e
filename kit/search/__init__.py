"""Searches over hyper-parameters: one space, one result table, the real library each time."""

from ._keras_tuner import keras_tuner
from ._optuna import optuna
from ._talos import talos
from .search import Search, recall, run, save
from .trials import SearchResult

__all__ = ["Search", "SearchResult", "keras_tuner", "optuna", "recall", "run", "save", "talos"]
