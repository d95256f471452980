"""The table and the figure of the representation benchmark, a recording at a time, resumable."""

import logging
from pathlib import Path

import numpy as np

from huidurep_sorter.benchmark.representation import bound, compute_features, read_known_spikes, score

logger = logging.getLogger("huidurep_sorter")


def run_benchmark(data, output, features=("pca", "svd", "fast"), seeds=(0, 1, 2), verbose=False):
    """Score features on every `NAME/recording`, `NAME/sorting` below a folder.

    Parameters
    ----------
    data, output : str or Path
    features : sequence of str
        As in `compute_features`.
    seeds : sequence of int
        Of the choice of spikes and of the mixtures.
    verbose : bool, default: False

    Returns
    -------
    table : pandas.DataFrame
        Columns recording, features, seed, measure, value; also in `output/scores.csv`. `output/table.md` and
        `output/representation.png` show means and spreads.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    folders = sorted(p for p in Path(data).iterdir() if (p / "recording").exists() and (p / "sorting").exists())
    if not folders:
        raise ValueError(f"{data} has no subfolder with a recording and a sorting")
    parts = []
    jobs = [(folder, seed) for folder in folders for seed in seeds]
    for folder, seed in tqdm(jobs, desc="score", disable=not verbose):
        part = output / "parts" / f"{folder.name}-{seed}-{'-'.join(Path(f).stem for f in features)}.csv"
        if not part.exists():
            part.parent.mkdir(exist_ok=True)
            rows = pd.DataFrame(_score_recording(folder, features, seed))
            rows.to_csv(part.with_suffix(".partial"), index=False)
            part.with_suffix(".partial").replace(part)
        parts.append(pd.read_csv(part))
    table = pd.concat(parts, ignore_index=True)
    table.to_csv(output / "scores.csv", index=False)
    (output / "table.md").write_text(_markdown(table))
    _figure(table, output / "representation.png")
    return table


def _score_recording(folder, features, seed):
    known = read_known_spikes(folder, seed=seed)
    computed = compute_features(known, features, seed)
    rows = []
    for name in features:
        for measure, value in score(computed[name], known, seed).items():
            rows.append(dict(recording=folder.name, features=Path(name).stem, seed=seed, measure=measure, value=value))
    value = bound(computed["snippets"], known, seed)
    rows.append(dict(recording=folder.name, features="bound", seed=seed, measure="local", value=value))
    return rows


def _markdown(table):
    """A row for each recording and features, a column for each measure: mean ± standard deviation over seeds."""
    grouped = table.groupby(["recording", "features", "measure"], sort=False)["value"]
    text = grouped.mean().map("{:.3f}".format)
    if table["seed"].nunique() > 1:
        text = text + " ± " + grouped.std().map("{:.3f}".format)
    wide = text.unstack().fillna("")[list(dict.fromkeys(table["measure"]))]
    lines = ["| recording | features | " + " | ".join(wide.columns) + " |", "|---" * (2 + wide.shape[1]) + "|"]
    lines += [
        f"| {recording} | {name} | " + " | ".join(row) + " |"
        for (recording, name), row in zip(wide.index, wide.values, strict=True)
    ]
    return "\n".join(lines).replace("nan ± nan", "") + "\n"


def _figure(table, path):
    from matplotlib.figure import Figure

    measures = ["global", "local", "late", "local unknown K"]
    recordings, names = list(dict.fromkeys(table["recording"])), list(dict.fromkeys(table["features"]))
    figure = Figure(figsize=(3.2 * len(measures), 3.2), layout="constrained")
    for axis, measure in zip(figure.subplots(1, len(measures), sharey=True), measures, strict=True):
        for i, name in enumerate(names):
            chosen = table[(table["features"] == name) & (table["measure"] == measure)]
            mean = chosen.groupby("recording")["value"].mean().reindex(recordings)
            x = np.arange(len(recordings)) + 0.12 * (i - len(names) / 2)
            axis.plot(x, mean, "o", label=name)
        axis.set(title=measure, ylim=(0, 1))
        axis.set_xticks(np.arange(len(recordings)), recordings, rotation=60, ha="right")
    figure.axes[0].set_ylabel("adjusted Rand index")
    figure.axes[1].legend(frameon=False)
    figure.savefig(path, dpi=120)
