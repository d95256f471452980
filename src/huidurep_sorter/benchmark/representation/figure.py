"""Draw the figure of the representation benchmark from its table."""

import numpy as np
from matplotlib.figure import Figure

from huidurep_sorter.benchmark.representation.denoising import DENOISING_NAMES
from huidurep_sorter.benchmark.representation.scores import BAND_NAMES
from huidurep_sorter.benchmark.representation.sessions import RECALL_NAMES

BY_RECORDING = {  # title to measures: filled marks for the first, hollow ones for the second
    "global": ["global"],
    "local": ["local"],
    "last third (hollow: first)": ["late", "early"],
    "local, unknown K": ["local unknown K"],
    "next session, SNR from 8 (hollow: all)": RECALL_NAMES,
}


def save_figure(table, path):
    """Draw scores of each recording, and means over recordings by SNR. Bars are standard deviations over seeds."""
    names = list(dict.fromkeys(table["features"]))
    colours = {name: f"C{i % 10}" for i, name in enumerate(names)}
    figure = Figure(figsize=(15, 7), layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    for axis, (title, measures) in zip(axes, BY_RECORDING.items(), strict=False):
        _draw_recordings(axis, table, measures, colours)
        axis.set(title=title, ylim=(min(0.0, axis.get_ylim()[0]), 1.02), ylabel="adjusted Rand index")
    axes[4].set_ylabel("recall at rank 1")
    _draw_bands(axes[5], table, BAND_NAMES, colours)
    axes[5].set(title="local by SNR", ylabel="adjusted Rand index")
    _draw_bands(axes[6], table, DENOISING_NAMES, colours)
    axes[6].set(title="denoising", ylabel="gain (dB)")
    axes[7].axis("off")
    handles = [axes[7].plot([], [], "o", color=colour, label=name)[0] for name, colour in colours.items()]
    axes[7].legend(handles=handles, loc="upper left", frameon=False)
    figure.savefig(path, dpi=120)


def _draw_recordings(axis, table, measures, colours):
    """Draw one or two measures of each recording, the second with hollow marks."""
    recordings = list(dict.fromkeys(table["recording"]))
    for i, (name, colour) in enumerate(colours.items()):
        x = np.arange(len(recordings)) + 0.6 * ((i + 0.5) / len(colours) - 0.5)
        for measure, face in zip(measures, (colour, "none"), strict=False):
            chosen = table[(table["features"] == name) & (table["measure"] == measure)]
            mean, spread = _over_seeds(chosen, "recording", recordings)
            axis.errorbar(x, mean, spread, fmt="o", color=colour, mfc=face, ms=4, lw=1)
    axis.set_xticks(np.arange(len(recordings)), recordings, rotation=45, ha="right")


def _draw_bands(axis, table, measures, colours):
    """Draw means over recordings of measures that are named by SNR."""
    for i, (name, colour) in enumerate(colours.items()):
        chosen = table[(table["features"] == name) & table["measure"].isin(measures)]
        x = np.arange(len(measures)) + 0.6 * ((i + 0.5) / len(colours) - 0.5)
        axis.errorbar(x, *_over_seeds(chosen, "measure", measures), fmt="o", color=colour, ms=4, lw=1)
    axis.set_xticks(np.arange(len(measures)), [m.split(", ")[-1] for m in measures], rotation=45, ha="right")


def _over_seeds(rows, column, values):
    """Compute mean and standard deviation over seeds. The value of a seed is a mean over whatever else varies."""
    grouped = rows.groupby([column, "seed"])["value"].mean().groupby(column)
    return grouped.mean().reindex(values), grouped.std().reindex(values).fillna(0.0)
