"""Draw the figures of the sorter benchmark from its tables."""

import textwrap

import numpy as np
from matplotlib.figure import Figure

SNR_EDGES = (0, 3, 4, 5, 6, 8, 10, 15, 25, np.inf)
OURS = "huidurep"


def save_figures(tables, folder):
    """Draw every figure that there is data for, each as a PNG."""
    units, recordings = tables["units"], tables["recordings"]
    if len(units) == 0:
        return
    labels = list(dict.fromkeys(units["sorter"]))
    colours = {label: f"C{i % 10}" for i, label in enumerate(labels)}
    figures = dict(
        accuracy_vs_snr=draw_accuracy_vs_snr(units, colours),
        run_time=draw_run_time(recordings, colours),
        agreement=draw_agreement(tables["agreement"], ["truth", *labels]),
        collisions=draw_collisions(tables["collisions"], colours),
        ours_vs_peers=draw_ours_vs_peers(units, labels),
    )
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(folder / f"{name}.png", dpi=120)


def wrapped(label):
    """Break a label of many parameters into lines."""
    return textwrap.fill(label, 24, break_long_words=False)


def new_figure(width, height):
    """Make a figure that needs no display."""
    return Figure(figsize=(width, height), layout="constrained")


def draw_accuracy_vs_snr(units, colours):
    """Draw every true unit, and means over bands of SNR."""
    figure = new_figure(7, 4.5)
    axis = figure.subplots()
    for label, colour in colours.items():
        here = units[units["sorter"] == label]
        axis.plot(here["snr"], here["accuracy"], ".", color=colour, alpha=0.35, ms=4)
        band = np.digitize(here["snr"], SNR_EDGES)
        means = here.groupby(band)[["snr", "accuracy"]].mean()
        axis.plot(means["snr"], means["accuracy"], "-o", color=colour, label=wrapped(label), ms=4)
    axis.set(xscale="log", xlabel="SNR of the true unit", ylabel="accuracy", ylim=(-0.03, 1.03))
    ticks = [3, 5, 10, 20, 40]
    axis.set_xticks(ticks, ticks)
    axis.set_xticks([], minor=True)
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def draw_run_time(recordings, colours):
    """Draw the seconds of every case that worked."""
    names = list(dict.fromkeys(recordings["recording"]))
    figure = new_figure(5 + 0.7 * len(names), 4.5)
    axis = figure.subplots()
    for label, colour in colours.items():
        here = recordings[(recordings["sorter"] == label) & (recordings["status"] == "ok")]
        mean = here.groupby("recording")["seconds"].mean().reindex(names)
        axis.plot(np.arange(len(names)), mean, "-o", color=colour, label=wrapped(label))
    axis.set(yscale="log", ylabel="run time (s)", xlim=(-0.5, len(names) - 0.5))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    axis.set_xticks(np.arange(len(names)), names, rotation=40, ha="right")
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def draw_agreement(agreement, labels):
    """Draw the share of a row's units that a column has too, averaged over recordings; None without any."""
    if len(agreement) == 0:
        return None
    share = agreement.pivot_table(index="sorter", columns="other", values="share").reindex(index=labels, columns=labels)
    figure = new_figure(2.5 + 0.75 * len(labels), 1.5 + 0.75 * len(labels))
    axis = figure.subplots()
    axis.imshow(share, vmin=0, vmax=1, cmap="viridis")
    for (i, j), value in np.ndenumerate(share.to_numpy()):
        if np.isfinite(value):
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", color="k" if value > 0.6 else "w")
    axis.set_xticks(np.arange(len(labels)), list(map(wrapped, labels)), rotation=40, ha="right")
    axis.set_yticks(np.arange(len(labels)), list(map(wrapped, labels)))
    axis.set_title("share of the row's units that the column has")
    return figure


def draw_collisions(collisions, colours):
    """Draw recall by lag, for units of different and of alike templates. At the right of each are spikes alone."""
    if len(collisions) == 0:
        return None
    figure = new_figure(11, 4)
    counts = collisions.groupby(["sorter", "similarity", "lag_ms"], dropna=False)[["n", "n_found"]].sum().reset_index()
    for axis, name in zip(figure.subplots(1, 2, sharey=True), ("different", "alike"), strict=True):
        for label, colour in colours.items():
            here = counts[(counts["sorter"] == label) & (counts["n"] > 0)]
            near, alone = here[here["similarity"] == name], here[here["similarity"] == "alone"]
            axis.plot(near["lag_ms"], near["n_found"] / near["n"], "-o", color=colour, label=wrapped(label), ms=4)
            axis.plot(np.full(len(alone), 2.3), alone["n_found"] / alone["n"], "D", color=colour, ms=5)
        axis.set_xticks([0, 0.5, 1, 1.5, 2.3], ["0", "0.5", "1", "1.5", "none"])
        axis.set(xlabel="lag from (ms)", ylim=(-0.03, 1.03), title=f"other spike of a unit with {name} template")
    figure.axes[0].set_ylabel("recall of true spikes")
    figure.axes[1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def draw_ours_vs_peers(units, labels):
    """Draw the accuracy of each true unit with huidurep against that with each other sorter; None without either."""
    ours = next((label for label in labels if label.split()[0] == OURS), None)
    others = [label for label in labels if label != ours]
    if ours is None or not others:
        return None
    wide = units.pivot_table(index=["recording", "seed", "unit"], columns="sorter", values="accuracy")
    figure = new_figure(3 * len(others), 3.4)
    for axis, label in zip(np.atleast_1d(figure.subplots(1, len(others), sharey=True)), others, strict=True):
        both = wide[[label, ours]].dropna()
        axis.plot([0, 1], [0, 1], color="0.7", lw=1)
        axis.plot(both[label], both[ours], "o", ms=4, alpha=0.5)
        axis.set(xlabel=wrapped(label), xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
        better, worse = int((both[ours] > both[label]).sum()), int((both[ours] < both[label]).sum())
        axis.set_title(f"better {better}, worse {worse}")
    figure.axes[0].set_ylabel(wrapped(f"{ours}: accuracy"))
    return figure
