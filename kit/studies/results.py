"""What came out of a study: tables beside the report's, curves, confusion matrices."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn.metrics

from .. import files
from . import verdicts
from .experiment import Experiment, Study

ROW = ("name", "metric", "reported", "seeds", "of")  # what a saved file holds of an Experiment
COLUMNS = (
    "metric", "reported", "reproduced", "low", "high", "seeds", "difference", "reported_parameters", "parameters",
    "epochs", "seconds_per_epoch", "origin", "verdict",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Results:
    """A study, its classes' names, and the records of its fits: a dict each, with experiment, seed, status, ..."""

    study: Study
    classes: tuple[str, ...]
    records: list

    def table(self, metric=None):
        """Reported beside reproduced, a row an experiment; other readings of a row stand in `readings`.

        Columns: metric, reported, reproduced (the mean over the seeds), low, high, seeds, difference (reproduced less
        reported), reported_parameters, parameters, epochs (mean), seconds_per_epoch (median), origin, verdict.

        The report's figure is one run. `low` and `high` are the 95% prediction interval of one more run of ours, from
        three seeds on, as `kit.studies.verdicts.interval` says; seeds vary the weights and the order of the images, not
        the split. The verdict is "reproduced" where the mean lies within the study's tolerance of the report; else
        "within scatter" where the report lies in an interval narrower than three tolerances, "undecided" where that is
        wider or there are fewer than three seeds; else "better" or "worse". "not comparable" with synthetic data, in
        the quick profile, or where the report gives no figure; "failed" when no fit was finished.
        """
        return self._table([row for row in self.study.experiments if row.of is None], metric)

    def readings(self, row=None):
        """A row and the other readings of it, all beside its reported figure; None: those of all rows, without them.

        The columns are those of `table`. The verdicts of readings do not count: they are for what is not said.
        """
        printed = {experiment.name: experiment for experiment in self.study.experiments if experiment.of is None}
        if row is not None and row not in printed:
            raise ValueError(f"row={row!r}; {self.study.name} has: {'; '.join(printed)}")
        shown = [printed[row]] if row else []
        for other in self.study.experiments:
            if other.of is not None and row in (None, other.of):
                first = printed[other.of]
                metric = other.metric or self.study.judged(first)
                reported = {**first.reported, "parameters": None, **other.reported}
                shown.append(dataclasses.replace(other, metric=metric, reported=reported))
        return self._table(shown)

    def _table(self, experiments, metric=None):
        fits = {}
        for record in self.records:
            fits.setdefault(record["experiment"], []).append(record)
        spreads = verdicts.spreads(self.study, fits, metric)
        rows = {}
        for experiment in experiments:
            records = fits.get(experiment.name)
            if not records:
                continue
            done = [record for record in records if record["status"] == "finished"]
            judged = metric or self.study.judged(experiment)
            values = verdicts.values(records, judged)
            reported = experiment.reported.get(judged, np.nan)
            mean = np.mean(values) if values else np.nan
            low, high = verdicts.interval(values, *spreads.get(experiment.name, (np.nan, 0)))
            comparable = all(r["profile"] == "full" and not r["origin"].startswith("synthetic") for r in records)
            if not done:
                verdict = "failed"
            elif not comparable or np.isnan(mean) or np.isnan(reported):
                verdict = "not comparable"
            else:
                tolerance = self.study.tolerated(judged, reported)
                verdict = verdicts.verdict(reported, mean, low, high, tolerance, lower=judged.endswith("loss"))
            rows[experiment.name] = {
                "metric": judged,
                "reported": reported,
                "reproduced": mean,
                "low": low,
                "high": high,
                "seeds": len(values),
                "difference": mean - reported,
                "reported_parameters": experiment.reported.get("parameters"),
                "parameters": done[0]["parameters"] if done else None,
                "epochs": np.mean([record["epochs"] for record in done]) if done else np.nan,
                "seconds_per_epoch": np.median([r["seconds_per_epoch"] for r in done]) if done else np.nan,
                "origin": records[0]["origin"],
                "verdict": verdict,
            }
        table = pd.DataFrame(rows.values(), index=pd.Index(rows, name="experiment"), columns=COLUMNS)
        return table.astype({"reported_parameters": "Int64", "parameters": "Int64"})

    def missing(self):
        """{experiment: seeds that are not there}: those that other rows have, and the row's own."""
        there = {(record["experiment"], record["seed"]) for record in self.records}
        rows = {row.name: set(row.seeds) for row in self.study.experiments}
        common = {seed for name, seed in there if not rows.get(name)}
        lacking = {
            name: sorted(seed for seed in common | own if (name, seed) not in there) for name, own in rows.items()
        }
        return {name: seeds for name, seeds in lacking.items() if seeds}

    def statuses(self):
        """(experiment, seed, status) of the fits that were not finished, as a DataFrame."""
        rows = [(r["experiment"], r["seed"], r["status"]) for r in self.records if r["status"] != "finished"]
        return pd.DataFrame(rows, columns=["experiment", "seed", "status"])

    def _first(self, key):
        """{experiment: what its first finished record with `key` holds}"""
        found = {}
        for record in self.records:
            if key in record and record["status"] == "finished":
                found.setdefault(record["experiment"], record[key])
        return found

    def histories(self):
        """{experiment: {"loss": [...], "val_loss": [...], ...}} of the first seed, an entry an epoch."""
        return self._first("history")

    def confusion_matrices(self):
        """{experiment: counts, (true class, predicted class)} of the first seed, on the test split."""
        return {name: np.array(matrix) for name, matrix in self._first("confusion_matrix").items()}

    def labels(self, experiment):
        """(true, predicted): classes (n,), or 0 and 1 for each label (n, labels); of the first seed.

        On the test split, or on the validation split where the test labels are not public; in the order of the labels,
        not of the images.
        """
        sets = self._first("label_sets").get(experiment)
        if sets is not None:
            true, predicted, counts = zip(*sets)
            return tuple(np.repeat(np.array(side), counts, axis=0) for side in (true, predicted))
        matrix = self.confusion_matrices()[experiment]
        return tuple(np.repeat(index.ravel(), matrix.ravel()) for index in np.indices(matrix.shape))

    def classification_report(self, experiment):
        """scikit-learn's precision, recall and F1 by class or label and averaged, of the first seed, as a DataFrame."""
        true, predicted = self.labels(experiment)
        report = sklearn.metrics.classification_report(
            true,
            predicted,
            labels=range(len(self.classes)),
            target_names=self.classes,
            output_dict=True,
            zero_division=0,
        )
        accuracy = report.pop("accuracy", None)
        frame = pd.DataFrame(report).T
        if accuracy is not None:
            frame.loc["accuracy"] = [np.nan, np.nan, accuracy, len(true)]
        return frame

    def save(self, path, **beside):
        """Write the records and what is reported as JSON, for `load`, with what is given `beside` under its names.

        The file is complete or not written at all. Raises ValueError where there is nothing to record: no fit was
        finished, or one is of the quick profile.
        """
        kept = [record for record in self.records if not record["status"].startswith("failed")]
        quick = sorted({record["experiment"] for record in kept if record["profile"] != "full"})
        if quick or not kept:
            raise ValueError(
                f"only full, finished fits are recorded; in the quick profile: {'; '.join(quick) or 'none'}"
            )
        study = self.study
        head = {
            "study": study.name,
            "title": study.title,
            "metric": study.metric,
            "tolerance": study.tolerance,
            "classes": self.classes,
            "rows": [{name: getattr(row, name) for name in ROW} for row in study.experiments],
        }
        lines = ",\n".join(json.dumps(_strict(record)) for record in kept)
        head = json.dumps(_strict(head | beside), default=dict)
        with files.writing(path, "w") as file:
            file.write(f'{head[:-1]}, "records": [\n{lines}\n]}}\n')

    def merged(self, path):
        """These results, and those of the file at `path` that they do not replace.

        A fit replaces the one of the same row and seed. Where a row is defined otherwise now than in the file, all of
        the file's fits of it go.
        """
        if not Path(path).exists():
            return self
        ours = [record for record in self.records if not record["status"].startswith("failed")]
        fitted = {(record["experiment"], record["seed"]) for record in ours}
        defined = {record["experiment"]: record.get("definition") for record in ours}
        kept = [
            record
            for record in read(path)["records"]
            if (record["experiment"], record["seed"]) not in fitted
            and record.get("definition") == defined.get(record["experiment"], record.get("definition"))
        ]
        order = {row.name: place for place, row in enumerate(self.study.experiments)}
        kept = [record for record in kept if record["experiment"] in order]
        together = sorted([*kept, *self.records], key=lambda record: (record["seed"], order[record["experiment"]]))
        return dataclasses.replace(self, records=together)

    @classmethod
    def load(cls, path, study=None):
        """The Results that a file holds; without the `study` its table is the same, and it cannot be run."""
        held = read(path)
        if study is None:
            rows = tuple(Experiment(build=None, **row | {"seeds": tuple(row["seeds"])}) for row in held["rows"])
            about = {name: held[name] for name in ("title", "metric", "tolerance")}
            study = Study(name=held["study"], data=None, experiments=rows, **about)
        return cls(study, tuple(held["classes"]), held["records"])


def read(path):
    """What `Results.save` wrote: a dict with study, classes, records; those of kit 0.1 in the form of today."""
    held = json.loads(Path(path).read_text())
    for record in held["records"]:
        record["origin"] = record["origin"].replace("drawn", "synthetic", 1)
        record["history"] = {
            name: [np.nan if value is None else value for value in values] for name, values in record["history"].items()
        }
        sets = record.get("label_sets")
        if sets and np.ndim(sets[0][0]) == 0:  # a matrix of sets as binary numbers, label 1 the ones
            bits = np.arange(len(held["classes"]))
            pairs = np.argwhere(sets)
            record["label_sets"] = [
                [(true >> bits & 1).tolist(), (found >> bits & 1).tolist(), sets[true][found]] for true, found in pairs
            ]
    return held


def _strict(value):
    """The value as strict JSON has it: NaN and infinity are null."""
    if isinstance(value, dict):
        return {key: _strict(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
