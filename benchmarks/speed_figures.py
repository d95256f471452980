"""Draw the figures of `speed.py`: of the runs with one process that worked."""

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import LogLocator, NullFormatter

from huidurep_sorter.benchmark.sorters.figures import new_figure, wrapped
from speed_report import SIZES

MARKERS = "os^Dv<>Ph*"


def save_figures(runs, stages, folder):
    """Draw every figure that there is data for, each as a PNG."""
    runs, stages = (rows[(rows["status"] == "ok") & (rows["n_jobs"] == 1)] for rows in (runs, stages))
    if len(runs):
        draw_cpu_seconds(runs).savefig(folder / "cpu_seconds.png", dpi=120)
    if len(stages):
        draw_stages(stages).savefig(folder / "stages.png", dpi=120)


def draw_cpu_seconds(runs):
    """Draw CPU seconds over duration: a panel for each number of channels, a line for each sorter and units."""
    durations, channels, units = (sorted(runs[size].unique()) for size in SIZES)
    series = sorted(runs["series"].unique())
    figure = new_figure(2.4 + 3.2 * len(channels), 4)
    axes = figure.subplots(1, len(channels), sharex=True, sharey=True, squeeze=False)[0]
    for axis, n in zip(axes, channels, strict=True):
        axis.plot(durations, durations, color="0.7", ls="--", lw=1, label="real time")
        for (name, n_units), here in runs[runs["n_channels"] == n].groupby(["series", "n_true_units"]):
            here, colour = here.sort_values("duration_s"), f"C{series.index(name) % 10}"
            style = dict(color=colour, marker=MARKERS[units.index(n_units) % len(MARKERS)], ms=5)
            axis.plot(
                here["duration_s"],
                here["cpu_seconds"],
                label=f"{wrapped(name)}, {n_units:g} unit{'s' * (n_units > 1)}",
                **style,
            )
        axis.set(xscale="log", yscale="log", xlabel="duration of the recording (s)", title=f"{n} channels")
        axis.set_xticks(durations, [f"{duration:g}" for duration in durations])
        axis.set_xticks([], minor=True)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("CPU seconds")
    shown = {text: line for axis in axes for line, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(shown.values(), shown, frameon=False, loc="outside right upper")
    return figure


def draw_stages(stages):
    """Draw the CPU seconds of each stage for a second of recording, stacked: a bar for each recording."""
    names = list(dict.fromkeys(stages["stage"]))
    stages = stages.assign(cost=stages["cpu_seconds"] / stages["duration_s"])
    bars = stages.pivot_table(index=["series", *SIZES[1:], SIZES[0]], columns="stage", values="cost").fillna(0.0)
    labels = [f"{wrapped(name)}: {channels} ch, {units} units, {s:g} s" for name, channels, units, s in bars.index]
    n_lines = len(labels) + sum(label.count("\n") for label in labels)
    figure = new_figure(9, 1.0 + 0.25 * max(n_lines, len(names)))
    axis = figure.subplots()
    places, left = np.arange(len(bars)), np.zeros(len(bars))
    for i, name in enumerate(names):
        axis.barh(places, bars[name], left=left, label=name, color=colormaps["tab20"](i % 20))
        left += bars[name].to_numpy()
    axis.set_yticks(places, labels)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.set_xlabel("CPU seconds for a second of recording")
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
