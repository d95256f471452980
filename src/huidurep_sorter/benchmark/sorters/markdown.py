"""Write `table.md` of the sorter benchmark."""

COUNTS = {
    "n_true": "true",
    "n_found": "found",
    "n_good": "≥ 0.8",
    "n_false_positive": "false positive",
    "n_redundant": "redundant",
    "n_overmerged": "over-merged",
    "n_background": "background",
}
NOTES = """Accuracy, precision and recall are means over all true units, found or not. Counts of units: with
accuracy of at least 0.8; false positive, redundant and over-merged as SpikeInterface defines them; background
units, where a recording has them, are no false positives. Several seeds of a recording: mean ± standard
deviation, and mean counts. A sorter's parameters are its defaults but for what its name says, and a seed of 0
where the default is a random one. Memory is the largest of the process and its children, what they share
counted once on Linux; time includes compilation."""
SHARED = (
    "huidurep_sorter",
    "spikeinterface",
    "numpy",
    "torch",
    "python",
    "system",
    "processor",
    "n_cpus",
    "gpu",
    "n_jobs",
)


def markdown(rows, skipped):
    """Write all of the text, from the table of recordings and the sorters that weren't run (label to reason)."""
    parts = ["# Sorters compared", NOTES, "## Mean accuracy", accuracy_by_sorter(rows)]
    parts += ["## Each recording", details(rows)]
    if any(column.startswith("seconds: ") for column in rows):
        parts += ["## Seconds in each stage of huidurep", stages(rows)]
    failed = rows[rows["status"] != "ok"]
    if len(failed):
        names = [f"{r.recording}, {r.seed}" if r.seed else r.recording for r in failed.itertuples()]
        lines = zip(names, failed["sorter"], failed["error"], strict=True)
        parts += ["## Failed", table(["recording", "sorter", "error"], lines)]
    if skipped:
        parts += ["## Skipped", table(["sorter", "why"], skipped.items())]
    return "\n\n".join([*parts, "## Versions and machine", versions(rows)]) + "\n"


def table(header, rows):
    """Write a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    lines += ["| " + " | ".join(str(value).replace("|", "/") for value in row) + " |" for row in rows]
    return "\n".join(lines)


def spread(values, digits=2):
    """Write the mean, and the standard deviation where there are several values; "" where there is none."""
    values = values.dropna()
    if len(values) == 0:
        return ""
    text = f"{values.mean():.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {values.std():.{digits}f}"


def accuracy_by_sorter(rows):
    """Write the accuracy with a row for each recording and a column for each sorter, and means below.

    A mean over the recordings that worked would flatter a sorter that fails on hard ones. So there are two means. In
    one a failure counts as 0. The other one is over the recordings on which no sorter failed.
    """
    labels, names = list(dict.fromkeys(rows["sorter"])), list(dict.fromkeys(rows["recording"]))
    lines = []
    for name in names:
        here = rows[rows["recording"] == name]
        lines.append([name, *(accuracy_or_failure(here[here["sorter"] == label]) for label in labels)])
    if "accuracy" in rows:
        wide = rows.pivot(index=["recording", "seed"], columns="sorter", values="accuracy")[labels]
        shared = wide.loc[:, wide.notna().any()].dropna().reindex(columns=labels)
        lines.append(["mean, a failure being 0", *means(wide.fillna(0.0))])
        lines.append([f"mean of the {len(shared)} without failure", *means(shared)])
    return table(["recording", *labels], lines)


def means(wide):
    """Write the mean of each column; "" where there is none."""
    return ["" if value != value else f"{value:.2f}" for value in wide.mean()]


def accuracy_or_failure(rows):
    """Write the accuracy of one sorter on the seeds of one recording, and how many of them failed."""
    n_failed = int((rows["status"] != "ok").sum())
    if n_failed == len(rows):
        return "failed"
    return spread(rows["accuracy"]) + (f" ({n_failed} of {len(rows)} failed)" if n_failed else "")


def details(rows):
    """Write a line for each recording and sorter."""
    lines = []
    for (name, label), here in rows.groupby(["recording", "sorter"], sort=False):
        done = here[here["status"] == "ok"]
        scores = [spread(done[s]) if s in done else "" for s in ("accuracy", "precision", "recall")]
        counts = [f"{done[c].mean():.3g}" if len(done) else "" for c in COUNTS]
        peak = here["peak_memory_gb"].max()
        seconds = spread(done["seconds"], 0) if len(done) else "failed"
        lines.append([name, label, *scores, *counts, seconds, f"{peak:.1f}"])
    header = [
        "recording",
        "sorter",
        "accuracy",
        "precision",
        "recall",
        *COUNTS.values(),
        "seconds",
        "peak GB",
    ]
    return table(header, lines)


def stages(rows):
    """Write a line for each recording and variant of huidurep."""
    columns = [column for column in rows if column.startswith("seconds: ")]
    done = rows[(rows["status"] == "ok") & rows[columns].notna().any(axis=1)]
    lines = [
        [name, label, *(spread(here[column], 1) for column in columns)]
        for (name, label), here in done.groupby(["recording", "sorter"], sort=False)
    ]
    return table(["recording", "sorter", *(c.removeprefix("seconds: ") for c in columns)], lines)


def listed(values):
    """List each value once."""
    return ", ".join(map(str, dict.fromkeys(values)))


def versions(rows):
    """Write the version of each sorter, and what all share.

    There are several values where runs of different days differ.
    """
    told = rows.dropna(subset=["sorter_version"]) if "sorter_version" in rows else rows.iloc[:0]
    lines = [[label, listed(here["sorter_version"])] for label, here in told.groupby("sorter", sort=False)]
    lines += [[what.replace("_", " "), listed(rows[what])] for what in SHARED]
    seeds = [seed for seed in dict.fromkeys(rows["seed"]) if seed]
    lines += [["seeds of the recordings", ", ".join(seeds)]] if seeds else []
    return table(["", ""], lines)
