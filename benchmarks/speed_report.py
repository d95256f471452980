"""Make the tables of `speed.py` from its records: what each run took, and how that grows."""

import json

import numpy as np
import pandas as pd

from huidurep_sorter.benchmark.sorters.markdown import table, versions

SIZES = ["duration_s", "n_channels", "n_true_units"]
HEADER = ["duration, s", "channels", "units"]
WHERE = ["series", "sorter", "drift", *SIZES, "n_jobs", "status"]
COSTS = ["seconds", "cpu_seconds", "peak_memory_gb"]
MIN_SHARE = 0.05  # of the CPU seconds of the largest run: the stages whose growth is told
NOTES = """Wall time and CPU seconds are those of `run_sorter`, after a small sort in the same process that imports and
compiles; CPU seconds are of the process and its workers. Memory is the largest of the process and its workers, what
they share counted once on Linux; it is at least that of the small sort. Disk is the largest size of the folder that the
sorter writes to, looked at once a second. Accuracy is the mean over the true units."""
FITS = """Cost = constant × duration^a × channels^b × units^c, by least squares of the logarithms, of the runs with
`n_jobs=1`: exponents ± standard error. An exponent of 1 says: twice as long, twice the cost. Stages are those of over
5 % of the CPU seconds of the largest run.

What these fits can't show. Fixed costs, such as learning from a sample of the recording, make exponents smaller than
they are for long recordings; where three durations are measured, the lines below say more. A stage that is left out on
some recordings, as motion on a short probe, has exponents that mean nothing. Nothing is known beyond the sizes that
were measured."""
LINES = "CPU seconds = fixed + per second × duration, where three durations are measured:"
SPEED_UP = "Wall time with `n_jobs=1` over that with more: of the largest recording, and the geometric mean of all."


def read_records(folder):
    """Read the records of a folder.

    Returns
    -------
    runs : pandas.DataFrame
        A row for each run. `series` is the sorter, and whether the recording drifts.
    stages : pandas.DataFrame
        A row for each stage of each run of huidurep: seconds, CPU seconds, and the largest memory up to its end.
    """
    runs = [json.loads(path.read_text(encoding="utf8")) for path in folder.glob("*.json")]
    stages = []
    for run in runs:
        run["series"] = run["sorter"] + (", drift" if run["drift"] else "")
        for name, took in run.pop("stages").items():
            seconds, cpu_seconds, peaks = zip(*took, strict=True)
            cost = dict(zip(COSTS, (sum(seconds), sum(cpu_seconds), max(peaks)), strict=True))
            if name != "total":  # measured outside of the sorter, for every sorter
                stages.append({key: run[key] for key in WHERE} | dict(stage=name) | cost)
    columns = [*WHERE, *COSTS, "disk_gb", "accuracy", "n_units", "n_spikes", "error", *runs[0]]
    runs = pd.DataFrame(runs).reindex(columns=list(dict.fromkeys(columns)))
    stages = pd.DataFrame(stages, columns=[*WHERE, "stage", *COSTS])
    return tuple(rows.sort_values(WHERE, kind="stable", ignore_index=True) for rows in (runs, stages))


def markdown(runs, stages):
    """Write `speed.md`, from the tables of `read_records`."""
    costs = pd.concat([runs.assign(stage="total"), stages], ignore_index=True)
    costs = costs.loc[costs["status"] == "ok", [*WHERE, "stage", *COSTS]]
    parts = ["# What a sort costs", NOTES, "## Machine and versions", versions(runs.assign(seed=""))]
    parts += ["## All runs", all_runs(runs)]
    parts += ["## Stages of huidurep in the largest run with `n_jobs=1`", largest_stages(costs)]
    parts += ["## How the cost grows", FITS, exponents(costs), LINES, duration_lines(costs)]
    parts += ["## Several processes", SPEED_UP, speed_ups(costs)]
    return "\n\n".join(parts) + "\n"


def all_runs(runs):
    """Write a line for each run."""
    lines = []
    for run in runs.to_dict("records"):
        peaks = [f"{run['peak_memory_gb']:.2f}", f"{run['disk_gb']:.2f}"]
        if run["status"] == "ok":
            took = [f"{run['cpu_seconds'] / run['duration_s']:.2f}", f"{run['seconds']:.1f}"]
            found = [f"{run['accuracy']:.2f}", f"{run['n_units']:.0f}"]
        else:
            took, found = ["", ""], ["failed", run["error"]]
        lines.append([run["series"], *(f"{run[size]:g}" for size in SIZES), run["n_jobs"], *took, *peaks, *found])
    header = ["sorter", *HEADER, "n_jobs", "CPU s per s", "wall s", "GB", "disk GB", "accuracy", "units found"]
    return table(header, lines)


def alone(costs):
    """Yield the name of each series, and its costs with one process: the largest recording first."""
    costs = costs[costs["n_jobs"] == 1].assign(size=costs["duration_s"] * costs["n_channels"])
    costs = costs.sort_values(["size", "n_true_units"], ascending=False, kind="stable")
    yield from costs.groupby("series")


def largest_run(rows):
    """Return the costs of the largest run of a series by stage, "total" first."""
    return rows[(rows[SIZES] == rows[SIZES].iloc[0]).all(axis=1)].set_index("stage")


def main_stages(rows):
    """Name the total and the stages of over 5 % of the CPU seconds of the largest run of a series."""
    cpu = largest_run(rows)["cpu_seconds"]
    return list(cpu.index[cpu > MIN_SHARE * cpu["total"]])


def largest_stages(costs):
    """Write the share of each stage in the largest run of each series that has stages."""
    lines = []
    for name, rows in alone(costs):
        cpu = largest_run(rows)["cpu_seconds"]
        total, stages = cpu["total"], cpu.drop("total")
        if len(stages):
            stages["outside of stages"] = total - stages.sum()
            sizes = [f"{value:g}" for value in rows[SIZES].iloc[0]]
            lines += [[name, *sizes, stage, f"{s:.1f}", f"{100 * s / total:.1f}"] for stage, s in stages.items()]
    return table(["sorter", *HEADER, "stage", "CPU s", "%"], lines)


def least_squares(design, values):
    """Fit values by the columns of a design, (n_values, n_coefficients).

    Returns
    -------
    fits : list of (coefficient, standard error)
        Coefficients are NaN where the values can't tell them apart, errors where no value is to spare.
    """
    n_values, n_coefficients = design.shape
    if np.linalg.matrix_rank(design) < n_coefficients:
        return [(np.nan, np.nan)] * n_coefficients
    coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
    n_spare = n_values - n_coefficients
    variance = ((values - design @ coefficients) ** 2).sum() / n_spare if n_spare else np.nan
    errors = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    return list(zip(coefficients, errors, strict=True))


def fit_power(rows, cost):
    """Fit a cost as a product of powers of those sizes that vary; return (exponent, standard error) by size."""
    varied = [size for size in SIZES if rows[size].nunique() > 1]
    design = np.log(rows[varied].to_numpy("float64"))
    fits = least_squares(np.column_stack([np.ones(len(rows)), design]), np.log(rows[cost].to_numpy("float64")))
    return dict(zip(varied, fits[1:], strict=True))


def told(value, error):
    """Write a value and its standard error."""
    if np.isnan(value):
        return "can't be told"
    return f"{value:.2f}" + ("" if np.isnan(error) else f" ± {error:.2f}")


def exponents(costs):
    """Write the exponents of CPU seconds, of the total and of the main stages, and of the total's memory."""
    lines = []
    for name, rows in alone(costs):
        fits = [("total, GB", "total", "peak_memory_gb")]
        fits += [(f"{stage}, CPU s", stage, "cpu_seconds") for stage in main_stages(rows)]
        for what, stage, cost in fits:
            here = rows[(rows["stage"] == stage) & (rows[cost] > 0)]  # the log gives hundredths of a second
            found = fit_power(here, cost)
            lines.append([name, what, len(here), *(told(*found[size]) if size in found else "" for size in SIZES)])
    return table(["sorter", "cost", "runs", *HEADER], lines)


def duration_lines(costs):
    """Write the fixed CPU seconds, and those for each second of recording."""
    lines = []
    for name, rows in alone(costs):
        for sizes, here in rows[rows["stage"] == "total"].groupby(SIZES[1:]):
            if len(here) >= 3:
                design = np.column_stack([np.ones(len(here)), here["duration_s"]])
                fits = least_squares(design, here["cpu_seconds"].to_numpy())
                lines.append([name, *sizes, len(here), *(told(*fit) for fit in fits)])
    return table(["sorter", *HEADER[1:], "runs", "fixed, CPU s", "per second, CPU s"], lines)


def speed_ups(costs):
    """Write by how much several processes are faster, for the total and the main stages."""
    lines = []
    several = costs[costs["n_jobs"] > 1]
    for name, rows in alone(costs):
        both = rows.merge(several, on=["series", "stage", *SIZES], suffixes=("_1", ""))
        both = both[(both["seconds"] > 0) & (both["seconds_1"] > 0) & both["stage"].isin(main_stages(rows))]
        for (stage, n_jobs), here in both.groupby(["stage", "n_jobs"], sort=False):
            ratios = (here["seconds_1"] / here["seconds"]).to_numpy()  # that of the largest recording is the first
            mean = np.exp(np.log(ratios).mean())
            lines.append([name, stage, n_jobs, len(ratios), f"{ratios[0]:.2f}", f"{mean:.2f}"])
    return table(["sorter", "stage", "n_jobs", "recordings", "largest", "mean"], lines)
