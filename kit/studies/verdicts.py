"""What a study's figures say of the report's: prediction intervals from pooled scatter, and verdicts."""

import numpy as np
import scipy.stats

SEEDS = 3  # from which on the scatter is judged
LEVENE = 0.05  # below this p-value the rows of a group are not taken to scatter alike
ROUNDING = 1e-9  # 0.50 - 0.49 is not 0.01 for a computer


def values(records, metric):
    """The metric of each finished fit that has it."""
    found = [record["metrics"].get(metric) for record in records if record["status"] == "finished"]
    return [value for value in found if value is not None]


def spreads(study, fits, metric=None):
    """{row: (standard deviation of one run, its degrees of freedom)} for the rows with three seeds or more.

    The deviation is pooled over the rows of a group, which have the same data, family of nets, callbacks or none (a net
    that is stopped in time scatters less) and metric, where Levene's test (about the medians) does not object; else it
    is the row's own.

    fits: {row: its records}. metric: of all rows, in place of their own.
    """
    rows = {}
    for row in study.experiments:
        judged = metric or study.judged(row)
        found = values(fits.get(row.name, ()), judged)
        if len(found) >= SEEDS:
            first = fits[row.name][0]
            # Records of kit 0.1 do not say what a net's family is; those by hand were trained by NumPy.
            family = first.get("family", first.get("engine") == "NumPy")
            group = first.get("data", row.data), family, bool(row.callbacks), first["origin"], judged
            rows[row.name] = group, found
    groups = {}
    for group, found in rows.values():
        groups.setdefault(group, []).append(found)
    found = {}
    for name, (group, own) in rows.items():
        members = groups[group]
        scattered = [member for member in members if np.ptp(member) > 0]
        alike = len(scattered) < 2 or scipy.stats.levene(*scattered).pvalue >= LEVENE
        pooled = members if alike else [own]
        freedom = sum(len(member) - 1 for member in pooled)
        squares = sum(np.var(member) * len(member) for member in pooled)
        found[name] = float(np.sqrt(squares / freedom)), freedom
    return found


def interval(values, deviation, freedom):
    """(low, high): the 95% prediction interval of one more run, by Student's t; NaN from fewer than three seeds.

    mean -+ t(0.975, freedom) * deviation * sqrt(1 + 1/n): wider than the interval of the mean, as a single run scatters
    more than a mean of n. It covers weights and order of the images, which the seed decides, and not the split.
    """
    if len(values) < SEEDS:
        return np.nan, np.nan
    margin = scipy.stats.t.ppf(0.975, freedom) * deviation * np.sqrt(1 + 1 / len(values))
    return float(np.mean(values) - margin), float(np.mean(values) + margin)


def verdict(reported, mean, low, high, tolerance, lower=False):
    """ "reproduced", "within scatter", "undecided", "better" or "worse", as `Results.table` says; `lower` is better."""
    if abs(mean - reported) <= tolerance + ROUNDING:
        return "reproduced"
    if np.isnan(low):
        return "undecided"
    if low - ROUNDING <= reported <= high + ROUNDING:
        return "within scatter" if high - low < 3 * tolerance else "undecided"
    return "better" if (mean < reported) == lower else "worse"
