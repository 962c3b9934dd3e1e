"""The reports as data: each study is a report's table, each row an Experiment; `run` fits them, `recorded` recalls."""

import json
from pathlib import Path

from . import fashion_compare, fashion_ladder, glands, mnist_cnn, mri, organ
from .experiment import Experiment, Study
from .results import Results
from .running import run

__all__ = ["Experiment", "Results", "Study", "get", "names", "recorded", "run"]

_STUDIES = {
    study.name: study
    for study in (
        fashion_ladder.MLP,
        fashion_ladder.CNN,
        fashion_compare.STUDY,
        mnist_cnn.STUDY,
        glands.STUDY,
        organ.STUDY,
        mri.STUDY,
    )
}


def names():
    """The names of the studies."""
    return tuple(_STUDIES)


def get(name):
    """The Study of that name; ValueError for an unknown one."""
    if name not in _STUDIES:
        raise ValueError(f"no study is called {name!r}; there are: {', '.join(_STUDIES)}")
    return _STUDIES[name]


def results_path(name):
    """Where the recorded results of a study lie: beside the package in a checkout, within it when installed."""
    package = Path(__file__).parents[1]
    folder = package / "results"
    return (folder if folder.exists() else package.parent / "results") / f"{name}.json"


def read_recorded(name, made_by):
    """The content of the file in `results/`; `made_by` is the call that an error names when there is none."""
    path = results_path(name)
    if not path.exists():
        raise FileNotFoundError(f"no results are recorded for {name!r} in {path.name}; run it with {made_by}")
    return json.loads(path.read_text())


def recorded(name):
    """The Results that `results/` holds for a study: finished, full runs. FileNotFoundError if there are none yet."""
    study = get(name)
    held = read_recorded(name, f"kit.studies.run({name!r})")
    return Results(study, tuple(held["classes"]), held["records"])
