"""The machinery of studies: a Study is a report's table as data, a row an Experiment; `run` fits the rows."""

from .experiment import Experiment, Study
from .results import Results, read
from .running import run

__all__ = ["Experiment", "Results", "Study", "read", "run"]
