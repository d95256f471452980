"""Figures, drawn without a display."""

import numpy as np

TRUE_COLOUR = "0.6"


def plot_demo(recording, truth, sorting, comparison, true_templates, table):
    """What the demo found, against the truth.

    Traces with the sorted spikes in the colours of their units; templates found over the true ones; where the
    units are on the probe; spike trains; accuracy against SNR.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    from huidurep_sorter.cli.demo import average_templates

    templates = average_templates(recording, sorting)
    colours = unit_colours(sorting)
    figure = Figure(figsize=(15, 9), layout="constrained")
    axes = figure.subplot_mosaic("TTTPA;TTTPA;RRRWW", width_ratios=[1, 1, 1, 0.8, 1.2])
    draw_traces(axes["T"], recording, sorting, templates, colours)
    draw_probe(axes["P"], recording, true_templates, templates, colours)
    draw_accuracy(axes["A"], table)
    draw_raster(axes["R"], sorting, colours)
    draw_templates(axes["W"], comparison, true_templates, templates, colours, table)
    return figure


def unit_colours(sorting):
    """Unit id to colour, far apart for units that follow each other."""
    from matplotlib import colormaps

    hues = (np.arange(len(sorting.unit_ids)) * 0.618) % 1.0
    return {unit_id: colormaps["turbo"](0.05 + 0.9 * hue) for unit_id, hue in zip(sorting.unit_ids, hues, strict=True)}


def draw_traces(ax, recording, sorting, templates, colours, start_s=5.0, duration_s=0.05, radius_um=45.0):
    """A stretch of filtered traces, by depth, sorted spikes coloured on the channels around them."""
    from spikeinterface.preprocessing import bandpass_filter

    fs = recording.sampling_frequency
    start, stop = int(start_s * fs), int((start_s + duration_s) * fs)
    traces = bandpass_filter(recording, dtype="float32").get_traces(start_frame=start, end_frame=stop)
    locations = recording.get_channel_locations()
    rank = np.argsort(np.lexsort((locations[:, 0], locations[:, 1])))
    scale = 0.15 / np.median(np.abs(traces)) / 0.6745
    lines = traces * scale + rank
    time = np.arange(start, stop) / fs * 1000
    ax.plot(time, lines, color="0.75", lw=0.5)
    if templates is not None:
        main = main_channels(templates)
        for unit_index, unit_id in enumerate(sorting.unit_ids):
            away = np.linalg.norm(locations - locations[main[unit_index]], axis=1)
            near = np.flatnonzero(away <= radius_um)
            for sample in sorting.get_unit_spike_train(unit_id, segment_index=0, start_frame=start, end_frame=stop):
                window = slice(max(sample - start - int(0.0007 * fs), 0), sample - start + int(0.0013 * fs))
                ax.plot(time[window], lines[window][:, near], color=colours[unit_id], lw=1.1)
    ax.set(
        xlabel="time (ms)",
        ylabel="channel, by depth",
        title="traces, sorted spikes in colour",
        xlim=time[[0, -1]],
    )


def main_channels(templates):
    """Index of the channel with the largest amplitude of each unit."""
    return np.abs(templates.templates_array).max(axis=1).argmax(axis=1)


def centres(templates, locations):
    """Amplitude-weighted position of each unit, (n_units, 2)."""
    weight = np.ptp(templates.templates_array, axis=1) ** 2
    return weight @ locations / weight.sum(axis=1, keepdims=True)


def draw_probe(ax, recording, true_templates, templates, colours):
    """Units on the probe: rings are true, dots are found."""
    locations = recording.get_channel_locations()
    ax.plot(*locations.T, "s", color="0.88", ms=7, zorder=0)
    ax.plot(*centres(true_templates, locations).T, "o", mfc="none", mec="k", ms=10, label="true")
    if templates is not None:
        ax.scatter(*centres(templates, locations).T, c=list(colours.values()), s=28, label="found", zorder=3)
    ax.set(xlabel="x (µm)", ylabel="y (µm)", title="units on the probe", aspect="equal")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False, ncol=2)


def draw_accuracy(ax, table):
    """Accuracy of every true unit against its SNR."""
    from huidurep_sorter.cli.demo import HIGH_SNR

    mean = table.loc[table["snr"] >= HIGH_SNR, "accuracy"].mean()
    ax.axvline(HIGH_SNR, color="0.8", ls="--")
    ax.plot(table["snr"], table["accuracy"], "o", color="tab:blue")
    ax.set(xlabel="SNR of the true unit", ylabel="accuracy", ylim=(-0.03, 1.05))
    ax.set_title(f"accuracy (mean {mean:.2f} at SNR ≥ {HIGH_SNR:g})")


def draw_raster(ax, sorting, colours, duration_s=10.0):
    """Spike trains of the first seconds."""
    fs = sorting.sampling_frequency
    trains = [
        sorting.get_unit_spike_train(unit_id, segment_index=0, end_frame=int(duration_s * fs)) / fs
        for unit_id in sorting.unit_ids
    ]
    if trains:
        ax.eventplot(trains, colors=list(colours.values()), linelengths=0.8, linewidths=0.8)
    ax.set(xlabel="time (s)", ylabel="unit", title="sorted spike trains", xlim=(0, duration_s))


def draw_templates(ax, comparison, true_templates, templates, colours, table, n_units=8):
    """Found templates over the true ones, on their main channel, from high to low SNR."""
    matched = [(unit, comparison.hungarian_match_12[unit]) for unit in table["unit"]]
    matched = [(true, found) for true, found in matched if found in colours][:: max(len(matched) // n_units, 1)]
    time = np.arange(true_templates.num_samples) / true_templates.sampling_frequency * 1000
    main = main_channels(true_templates)
    for i, (true, found) in enumerate(matched):
        true_index = list(true_templates.unit_ids).index(true)
        channel, shift = main[true_index], i * 1.15 * time[-1]
        ax.plot(time + shift, true_templates.templates_array[true_index, :, channel], color=TRUE_COLOUR, lw=4)
        found_index = list(templates.unit_ids).index(found)
        ax.plot(time + shift, templates.templates_array[found_index, :, channel], color=colours[found], lw=1.3)
    ax.set(xticks=[], ylabel="µV", title="templates: true (grey) and found, by SNR")
