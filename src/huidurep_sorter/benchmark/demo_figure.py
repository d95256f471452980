"""Draw what the demo found beside the truth. No display is needed."""

import numpy as np
from matplotlib.figure import Figure

from huidurep_sorter.benchmark.collisions import RADIUS_UM
from huidurep_sorter.benchmark.demo import COLLISION_MS, HIGH_SNR, Demo
from huidurep_sorter.report.figures import COLOURS

TRUE_COLOUR = "0.6"
WINDOW_S = 0.03  # of the traces
CLOSE_UP_MS = (-1.5, 2.5)  # around the collision
SPIKE_MS = (-0.7, 1.3)  # that is drawn of a sorted spike
REACH_UM = 45.0  # around a unit's main channel, in which its spikes are drawn
LARGEST_SPIKE = 5.0  # channels that the largest spike spans


def save_figure(demo: Demo, path):
    """Draw the demo and save the figure as a PNG.

    It shows traces with sorted spikes in the colours of their units, and one collision closer. The others are the units
    on the probe, spike trains, accuracy against SNR, and found templates over the true ones.
    """
    colours, shown = unit_colours(demo), demo.collisions.to_show(demo.recording.sampling_frequency)
    figure = Figure(figsize=(15, 9.5), layout="constrained")
    axes = figure.subplot_mosaic("TTTTTTCCCPP;RRRRRAAAWWW", height_ratios=[1.5, 1], empty_sentinel=".")
    draw_traces(axes["T"], demo, colours, shown)
    draw_collision(axes["C"], demo, colours, shown)
    draw_probe(axes["P"], demo, colours)
    draw_raster(axes["R"], demo, colours)
    draw_accuracy(axes["A"], demo)
    draw_templates(axes["W"], demo, colours)
    figure.savefig(path, dpi=110)


def unit_colours(demo):
    """Return found unit to colour, in the order of depth, so that units of similar colour are far from each other."""
    if demo.templates is None:
        return {}
    by_depth = demo.sorting.unit_ids[np.argsort(centres(demo.templates)[:, 1], kind="stable")]
    return {unit_id: COLOURS[i % len(COLOURS)] for i, unit_id in enumerate(by_depth)}


def main_channels(templates):
    """Return the channel with the largest amplitude of each unit, (n_units,)."""
    return np.abs(templates.templates_array).max(axis=1).argmax(axis=1)


def centres(templates):
    """Compute the amplitude-weighted position of each unit, (n_units, 2)."""
    weight = np.ptp(templates.templates_array, axis=1) ** 2
    return weight @ templates.get_channel_locations() / weight.sum(axis=1, keepdims=True)


def channel_ranks(recording):
    """Return the rank of each channel by depth, (n_channels,)."""
    locations = recording.get_channel_locations()
    return np.argsort(np.lexsort((locations[:, 0], locations[:, 1])))


def get_traces(demo, start, stop):
    """Read traces in the unit of the templates."""
    return demo.recording.get_traces(start_frame=start, end_frame=stop, return_in_uV=demo.true_templates.is_in_uV)


def near_channels(templates, unit_id):
    """Return the channels near a unit's main channel."""
    locations = templates.get_channel_locations()
    main = main_channels(templates)[list(templates.unit_ids).index(unit_id)]
    return np.flatnonzero(np.linalg.norm(locations - locations[main], axis=1) <= REACH_UM)


def draw_traces(ax, demo, colours, shown):
    """Draw a stretch of traces by depth, and colour the sorted spikes on the channels around them.

    The collision that is shown is in the middle, or else the middle of the recording.
    """
    fs, n_samples = demo.recording.sampling_frequency, demo.recording.get_num_samples()
    middle = n_samples // 2 if shown is None else int(shown["sample_index"].mean())
    start = min(max(middle - int(WINDOW_S / 2 * fs), 0), n_samples - int(WINDOW_S * fs))
    stop = start + int(WINDOW_S * fs)
    traces = get_traces(demo, start, stop)
    lines = traces / np.abs(traces).max() * LARGEST_SPIKE + channel_ranks(demo.recording)
    time = np.arange(start, stop) / fs * 1000
    ax.plot(time, lines, color="0.75", lw=0.5)
    before, after = (int(ms / 1000 * fs) for ms in SPIKE_MS)
    for unit_id, colour in colours.items():
        near = near_channels(demo.templates, unit_id)
        for sample in demo.sorting.get_unit_spike_train(unit_id, segment_index=0, start_frame=start, end_frame=stop):
            window = slice(max(sample - start + before, 0), sample - start + after)
            ax.plot(time[window], lines[window][:, near], color=colour, lw=1.1)
    if shown is not None:
        ax.axvspan(*(middle / fs * 1000 + np.array(CLOSE_UP_MS)), color="0.93", zorder=0)
        ax.set_title("traces, sorted spikes in colour; the shaded stretch is at the right")
    else:
        ax.set_title("traces, sorted spikes in colour")
    ax.set(xlabel="time (ms)", ylabel="channel, by depth", xlim=time[[0, -1]])


def draw_collision(ax, demo, colours, shown):
    """Draw one collision closer: traces, and over them the template of each sorted spike, at its time."""
    n, n_found = len(demo.collisions.found), int(demo.collisions.found.sum())
    what = f"both spikes, SNR ≥ {HIGH_SNR:g}, {COLLISION_MS:g} ms, {RADIUS_UM:g} µm"
    ax.set_title(f"collisions found: {n_found} of {n}\n({what})")
    if shown is None:
        ax.axis("off")
        return
    fs = demo.recording.sampling_frequency
    start, stop = (int(shown["sample_index"].mean() + ms / 1000 * fs) for ms in CLOSE_UP_MS)
    units = [demo.match[demo.truth.unit_ids[unit]] for unit in shown["unit_index"]]
    drawn = np.unique(np.concatenate([near_channels(demo.templates, unit_id) for unit_id in units]))
    traces, ranks = get_traces(demo, start, stop)[:, drawn], channel_ranks(demo.recording)[drawn]
    scale = LARGEST_SPIKE / np.abs(traces).max()
    time = np.arange(start, stop) / fs * 1000
    ax.plot(time, traces * scale + ranks, color=TRUE_COLOUR, lw=1.5)
    for unit_index, unit_id in enumerate(demo.sorting.unit_ids):
        template = demo.templates.templates_array[unit_index][:, drawn]
        for sample in demo.sorting.get_unit_spike_train(unit_id, segment_index=0, start_frame=start, end_frame=stop):
            at = (sample - demo.templates.nbefore + np.arange(len(template))) / fs * 1000
            large = np.isin(drawn, near_channels(demo.templates, unit_id))
            ax.plot(at, (template * scale + ranks)[:, large], color=colours[unit_id], lw=1.2)
    ax.set(xlabel="time (ms)", ylabel="channel, by depth", xlim=time[[0, -1]])


def draw_probe(ax, demo, colours):
    """Draw the units on the probe: rings are true, dots are found."""
    ax.plot(*demo.recording.get_channel_locations().T, "s", color="0.88", ms=7, zorder=0)
    ax.plot(*centres(demo.true_templates).T, "o", mfc="none", mec="k", ms=10, label="true")
    if demo.templates is not None:
        found = [colours[unit_id] for unit_id in demo.sorting.unit_ids]
        ax.scatter(*centres(demo.templates).T, c=found, s=28, label="found", zorder=3)
    n_found, n_true = len(demo.sorting.unit_ids), len(demo.truth.unit_ids)
    ax.set(xlabel="x (µm)", ylabel="y (µm)", title=f"{n_found} units found, {n_true} true", aspect="equal")
    ax.legend(loc="upper left", bbox_to_anchor=(1.05, 1), frameon=False)


def draw_accuracy(ax, demo):
    """Draw the accuracy of every true unit against its SNR."""
    ax.axvline(HIGH_SNR, color="0.8", ls="--")
    ax.plot(demo.table["snr"], demo.table["accuracy"], "o", color="tab:blue")
    ax.set(xlabel="SNR of the true unit", ylabel="accuracy", ylim=(-0.03, 1.05))
    ax.set_title(f"accuracy (mean {demo.mean_accuracy:.2f} at SNR ≥ {HIGH_SNR:g})")


def draw_raster(ax, demo, colours, duration_s=10.0):
    """Draw the spike trains of the first seconds, by depth."""
    fs = demo.sorting.sampling_frequency
    trains = [
        demo.sorting.get_unit_spike_train(unit_id, segment_index=0, end_frame=int(duration_s * fs)) / fs
        for unit_id in colours
    ]
    if trains:
        ax.eventplot(trains, colors=list(colours.values()), linelengths=0.8, linewidths=0.8)
    ax.set(xlabel="time (s)", ylabel="unit, by depth", title="sorted spike trains", xlim=(0, duration_s))
    ax.yaxis.get_major_locator().set_params(integer=True)


def draw_templates(ax, demo, colours, n_units=8):
    """Draw templates that were found over the true ones, on their main channels, from high to low SNR."""
    true_templates = demo.true_templates
    matched = [unit for unit in demo.table["unit"] if unit in demo.match]
    matched = matched[:: -(-len(matched) // n_units) or 1]
    time = np.arange(true_templates.num_samples) / true_templates.sampling_frequency * 1000
    main = main_channels(true_templates)
    for i, unit in enumerate(matched):
        found, true_index = demo.match[unit], list(true_templates.unit_ids).index(unit)
        channel, shift = main[true_index], i * 1.15 * time[-1]
        ax.plot(time + shift, true_templates.templates_array[true_index, :, channel], color=TRUE_COLOUR, lw=4)
        found_index = list(demo.templates.unit_ids).index(found)
        ax.plot(time + shift, demo.templates.templates_array[found_index, :, channel], color=colours[found], lw=1.3)
    ax.set(xticks=[], ylabel="µV", title="templates: true (grey) and found, by SNR")
