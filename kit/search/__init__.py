"""Searches over hyper-parameters: one space, one result table, the real library each time."""

from ._keras_tuner import keras_tuner
from ._optuna import optuna
from ._talos import talos
from .search import Search, load, run, save
from .settings import Settings
from .trials import SearchResult

__all__ = ["Search", "SearchResult", "Settings", "keras_tuner", "load", "optuna", "run", "save", "talos"]
