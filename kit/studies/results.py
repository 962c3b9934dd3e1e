"""What came out of a study: tables beside the report's, curves, confusion matrices."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
import sklearn.metrics

from .. import files
from .experiment import Study


@dataclasses.dataclass(frozen=True)
class Results:
    """A study, its classes' names, and the records of its fits: a dict each, with experiment, seed, status, ..."""

    study: Study
    classes: tuple[str, ...]
    records: list

    def table(self, metric=None):
        """Reported beside reproduced, a row an experiment.

        Columns: metric, reported, reproduced, low, high (mean and 95% interval of the mean over the seeds, Student's t;
        no interval from one seed), seeds, reported_parameters, parameters, epochs (mean), seconds_per_epoch (median),
        origin, verdict. The verdict compares the mean with the report: "reproduced" within 0.01 (a loss: within a
        tenth), else "better" or "worse"; "not comparable" with synthetic data, in the quick profile, or where the
        report gives no figure; "failed" when no fit was finished.
        """
        rows = {}
        for experiment in self.study.experiments:
            records = [record for record in self.records if record["experiment"] == experiment.name]
            if not records:
                continue
            done = [record for record in records if record["status"] == "finished"]
            judged = metric or experiment.metric or self.study.metric
            values = np.array([record["metrics"][judged] for record in done if judged in record["metrics"]])
            reported = experiment.reported.get(judged, np.nan)
            mean = values.mean() if len(values) else np.nan
            margin = np.nan
            if len(values) > 1:
                margin = scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values)
            rows[experiment.name] = {
                "metric": judged,
                "reported": reported,
                "reproduced": mean,
                "low": mean - margin,
                "high": mean + margin,
                "seeds": len(values),
                "reported_parameters": experiment.reported.get("parameters"),
                "parameters": done[0]["parameters"] if done else None,
                "epochs": np.mean([record["epochs"] for record in done]) if done else np.nan,
                "seconds_per_epoch": np.median([r["seconds_per_epoch"] for r in done]) if done else np.nan,
                "origin": records[0]["origin"],
                "verdict": _verdict(judged, reported, mean, records),
            }
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.name = "experiment"
        return table.astype({"reported_parameters": "Int64", "parameters": "Int64"}) if rows else table

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
        sets = self._first("label_sets")
        matrix = np.array(sets[experiment]) if experiment in sets else self.confusion_matrices()[experiment]
        pair = [np.repeat(index.ravel(), matrix.ravel()) for index in np.indices(matrix.shape)]
        if experiment in sets:  # sets of labels as binary numbers
            pair = [numbers[:, None] >> np.arange(len(self.classes)) & 1 for numbers in pair]
        return tuple(pair)

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
        """Write the records as JSON, for `recorded`, with what is given `beside` under its names.

        Raises ValueError unless the study is whole, finished and full.
        """
        missing = {e.name for e in self.study.experiments} - {r["experiment"] for r in self.records}
        cut = {r["experiment"] for r in self.records if r["profile"] != "full" or r["status"].startswith("failed")}
        if missing or cut:
            raise ValueError(
                f"only whole, full runs are recorded; missing: {sorted(missing) or 'none'}, "
                f"failed or in the quick profile: {sorted(cut) or 'none'}"
            )
        lines = ",\n".join(json.dumps(record) for record in self.records)
        head = json.dumps({"study": self.study.name, "classes": self.classes} | beside)
        with files.writing(path, "w") as file:
            file.write(f'{head[:-1]}, "records": [\n{lines}\n]}}\n')


def _verdict(metric, reported, mean, records):
    if not any(record["status"] == "finished" for record in records):
        return "failed"
    if (
        np.isnan(mean)
        or np.isnan(reported)
        or any(r["origin"].startswith("synthetic") or r["profile"] != "full" for r in records)
    ):
        return "not comparable"
    is_loss = metric.endswith("loss")
    if abs(mean - reported) <= (0.1 * reported if is_loss else 0.01):
        return "reproduced"
    return "better" if (mean < reported) == is_loss else "worse"


def read(path):
    """What `Results.save` wrote: a dict with study, classes, records. The first design's "drawn" is "synthetic" now."""
    held = json.loads(Path(path).read_text())
    for record in held["records"]:
        if record["origin"].startswith("drawn"):
            record["origin"] = record["origin"].replace("drawn", "synthetic", 1)
    return held
