"""Write results/README.md: what is recorded here, and what is not yet, row by row, with the command that makes it.

The hours are those of two cores, from the seconds of the row's recorded fits, else of the row that it reads, else of
the study's rows on average: an order of magnitude.
"""

from pathlib import Path

import numpy as np

from kit import reports, studies

HERE = Path(__file__).parent
HEAD = """# Recorded results

Each file holds the finished, full fits of one study or search, as `kit run NAME --record FILE` writes them: per fit the
metrics on every split, curves, errors, parameters, seconds, device, versions and origin. `kit show NAME` prints the
table beside the report's figures; `kit.reports.recorded(NAME)` gives it in Python.

## Not recorded yet

| study | row | seeds | hours | command |
| --- | --- | --- | --- | --- |
"""


def missing(name):
    """(row, its seeds that are missing, hours, command) of a study; of a search itself."""
    study = reports.get(name)
    if not isinstance(study, studies.Study):
        if not reports.results_path(name).exists():
            yield "all trials", "0", "", f"kit run {name} --record results/{name}.json"
        return
    path = reports.results_path(name)
    results = studies.Results.load(path, study) if path.exists() else studies.Results(study, (), [])
    seconds = {}
    for record in results.records:
        seconds.setdefault(record["experiment"], []).append(record.get("seconds", np.nan))
    whole = [second for row in seconds.values() for second in row]
    lacking = results.missing() if results.records else {row.name: row.seeds or (0, 1, 2) for row in study.experiments}
    for row in study.experiments:
        if seeds := lacking.get(row.name):
            known = seconds.get(row.name) or seconds.get(row.of) or whole
            hours = f"{len(seeds) * np.mean(known) / 3600:.1f}" if known else ""
            command = f'kit run {name} --only "{row.name}" --seeds 3 --record results/{name}.json'
            yield row.name, ", ".join(map(str, seeds)), hours, command


def text():
    lines = [
        f"| {name} | {row} | {seeds} | {hours} | `{command}` |"
        for name in reports.names()
        for row, seeds, hours, command in missing(name)
    ]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "README.md").write_text(text())
