"""Draw `docs/how_it_works.png` anew: `python docs/how_it_works_figure.py`.

Nothing in it is drawn by hand. A small recording is generated and sorted by the functions that `pipeline.sort_traces`
calls, and each panel shows what one of them got or gave.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from spikeinterface.core import generate_ground_truth_recording

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.pipeline import (
    curate,
    detect_peaks,
    extract_features,
    find_clusters,
    judge,
    keep_neurons,
    locate_spikes,
    make_templates,
    match_templates,
    measure,
    merge_clusters,
    open_traces,
    prepare,
    refine_templates,
    select_peaks,
    window_samples,
)
from huidurep_sorter.spikes.clustering import project
from huidurep_sorter.spikes.spike_trains import lags_to_nearest
from huidurep_sorter.templates.split_half import differences, estimate_split_half
from huidurep_sorter.templates.waveforms import average_waveforms
from huidurep_sorter.traces.snippets import find_neighbourhoods

PICTURE = Path(__file__).with_name("how_it_works.png")
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]  # Okabe and Ito's
GREY, MARKERS = "0.6", "osD^vP*X"
SEED = 3  # of the recording
SHOWN_MS = (1.5, 2.5)  # of panel 1, before and after the peak
SNIPPET = (40, 81)  # samples that the encoder sees, before and from the peak
FOUND_MS = (7.0, 9.0)  # of panel 5, before and after the peak
LEAST_SPIKES = 25  # of a cluster that is shown merging
LEAST_DRAWN = 3.0  # noise; channels where a waveform is smaller are left out of panel 5


def main(path=PICTURE):
    """Generate, sort and draw."""
    raw, _ = generate_ground_truth_recording(
        durations=[20.0], sampling_frequency=30000.0, num_channels=16, num_units=8, seed=SEED
    )
    parameters = SortingParameters(apply_motion_correction=False)
    quiet = dict(n_jobs=1, progress_bar=False)
    prepared, set_aside = prepare(raw, parameters, quiet)
    with open_traces(prepared, set_aside, parameters, None, quiet) as traces:
        stages = sort_step_by_step(traces, parameters)
        draw(raw, traces, stages, path)


def sort_step_by_step(traces, parameters):
    """Sort as `pipeline.sort_traces` does, and keep what each stage gave."""
    peaks = detect_peaks(traces, parameters)
    spikes = select_peaks(traces, peaks, parameters, margin=window_samples(traces, parameters))
    spikes = locate_spikes(traces, extract_features(traces, spikes, parameters))
    clusters = find_clusters(spikes, parameters)
    merged, _ = merge_clusters(traces, clusters, parameters)
    templates, aligned = make_templates(traces, merged, parameters)
    templates = refine_templates(traces, templates, aligned, parameters)
    units, _, _ = curate(traces, match_templates(traces, templates, parameters), parameters)
    units = keep_neurons(judge(measure(traces, units, aligned), parameters), parameters)[0].units
    return dict(clusters=clusters, merged=merged, units=units)


def choose(traces, clusters, merged):
    """Choose two clusters of one channel that merging makes one, of the largest template, and list them first.

    Returns
    -------
    here : (n_spikes,) bool
        Spikes of the channel that are in a cluster.
    shown : list of int
        Clusters of the channel.
    """
    counts, norms = clusters.counts(), estimate_split_half(traces, clusters).norms()
    main = np.array([np.bincount(clusters.channel_index[clusters.label == k]).argmax() for k in range(len(counts))])
    fate = np.array([merged.label[clusters.label == k][0] for k in range(len(counts))])
    order = [k for k in np.argsort(-norms) if counts[k] >= LEAST_SPIKES]
    pairs = [(a, b) for a in order for b in order if a != b and main[a] == main[b] and fate[a] == fate[b]]
    first, second = next((a, b) for a, b in pairs if len(set(fate[main == main[a]])) > 1)
    others = [k for k in np.flatnonzero(main == main[first]) if k not in (first, second)]
    return (clusters.channel_index == main[first]) & (clusters.label >= 0), [first, second, *others]


def choose_spike(clusters, units, label, fs):
    """Choose a spike of a cluster in whose neighbourhood, that of panel 5, most units fire."""
    times = clusters.sample_index[clusters.label == label]
    reach = np.array([-FOUND_MS[0], FOUND_MS[1]]) * fs / 1000

    def n_units(time):
        return len(set(units.label[(units.sample_index > time + reach[0]) & (units.sample_index < time + reach[1])]))

    return max(times, key=n_units)


def colour_units(clusters, units, shown):
    """Give each unit the colour of the first cluster whose spikes are its own, and the others one that is free."""
    colours, trains = {}, units.trains()
    for number, label in enumerate(shown):
        times = clusters.sample_index[clusters.label == label]
        hits = [(np.abs(lags_to_nearest(times, train)).min(axis=1) < 15).mean() for train in trains]
        colours.setdefault(int(np.argmax(hits)), COLOURS[number % len(COLOURS)])
    free = [colour for colour in COLOURS if colour not in colours.values()]
    for unit in range(units.n_units):
        if unit not in colours:
            colours[unit] = free.pop(0) if free else "0.3"
    return colours


def draw(raw, traces, stages, path):
    """Draw the five panels."""
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left"})
    clusters, units = stages["clusters"], stages["units"]
    here, shown = choose(traces, clusters, stages["merged"])
    channel = clusters.channel_index[here][0]
    spike = choose_spike(clusters, units, shown[0], traces.sampling_frequency)
    figure = plt.figure(figsize=(11.5, 4.2), layout="constrained")
    panels = figure.subfigures(1, 5, width_ratios=[1, 1, 1, 0.9, 1.15])
    near = find_neighbourhoods(traces.recording).channel_indices[channel]
    draw_traces(panels[0], raw, traces, spike, near[:5])
    draw_snippet(panels[1], traces, spike, near)
    draw_features(panels[2], clusters, here, shown)
    draw_merge(panels[3], traces, clusters, shown[:2], near[:4])
    draw_found(panels[4], traces, units, spike, near[:6], colour_units(clusters, units, shown))
    figure.savefig(path, dpi=170, facecolor="white")
    print(f"{path}: {clusters.n_units} clusters, {stages['merged'].n_units} after merging, {units.n_units} units")


def get_stretch(recording, start, stop, channels):
    """Read traces, (n_samples, n_channels)."""
    return recording.get_traces(start_frame=int(start), end_frame=int(stop))[:, channels].astype("float64")


def stack(ax, time, stretch, step, **style):
    """Draw traces one below the other."""
    ax.plot(time, stretch - step * np.arange(stretch.shape[1]), **style)


def bare(ax):
    """Leave out the frame, but for the axis of time."""
    ax.spines[["left", "top", "right"]].set_visible(False)
    ax.set_yticks([])


def scale_bar(ax, x, y, size, text):
    """Draw a vertical bar that says how large the traces are."""
    ax.plot([x, x], [y, y + size], color="k", lw=2, solid_capstyle="butt", clip_on=False)
    ax.annotate(text, (x, y + size / 2), (4, 0), textcoords="offset points", va="center", annotation_clip=False)


def draw_traces(panel, raw, traces, spike, channels):
    """Panel 1: one spike in the raw traces and in the clean ones."""
    fs = traces.sampling_frequency
    start, stop = spike - int(SHOWN_MS[0] * fs / 1000), spike + int(SHOWN_MS[1] * fs / 1000)
    time = (np.arange(start, stop) - spike) / fs * 1000
    above, below = panel.subplots(2, 1, sharex=True)
    kinds = ((above, raw, "raw", 100.0, "100 µV"), (below, traces.recording, "clean", 10.0, "10 ×\nnoise"))
    for ax, recording, name, bar, text in kinds:
        stretch = get_stretch(recording, start, stop, channels)
        stretch -= np.median(stretch, axis=0)
        step = 0.35 * np.ptp(stretch)
        stack(ax, time, stretch, step, color="k", lw=0.9)
        scale_bar(ax, time[-1] + 0.15, -step * len(channels), bar, text)
        ax.set_ylabel(name)
        bare(ax)
    above.set_title("1  Clean the traces\n(one spike, 5 channels)")
    below.set_xlabel("time (ms)")


def draw_snippet(panel, traces, spike, channels):
    """Panel 2: the snippet of the spike, each channel at its place on the probe."""
    fs, ax = traces.sampling_frequency, panel.subplots()
    stretch = get_stretch(traces.recording, spike - SNIPPET[0], spike + SNIPPET[1], channels)
    time = (np.arange(sum(SNIPPET)) - SNIPPET[0]) / fs * 1000
    places = traces.locations_um[channels]
    pitch = np.diff(np.unique(places[:, 0])).min(initial=20.0)
    height = np.diff(np.unique(places[:, 1])).min(initial=20.0)
    across, along = 0.8 * pitch / np.ptp(time), 1.7 * height / np.ptp(stretch)
    for wave, (x, y) in zip(stretch.T, places, strict=True):
        ax.plot(x + across * (time - time.mean()), y + along * wave, color="k", lw=0.9)
    peak = places[0] + [across * -time.mean(), along * stretch[SNIPPET[0], 0]]
    ax.plot(*peak, "^", ms=7, color=COLOURS[5], clip_on=False)
    style = dict(
        color=COLOURS[5], weight="bold", textcoords="axes fraction", arrowprops=dict(arrowstyle="-", color=COLOURS[5])
    )
    ax.annotate("peak", peak, (0.12, 0.1), **style)
    ax.set(title="2  Detect a peak, cut a\nsnippet (11 channels)", xlabel="x (µm)", ylabel="y (µm)")
    ax.set_xticks(np.unique(places[:, 0]))
    ax.spines[["top", "right"]].set_visible(False)


def draw_features(panel, clusters, here, shown):
    """Panel 3: features and position of all spikes that peak on one channel, in the colours of their clusters."""
    ax = panel.subplots()
    labels = clusters.label[here]
    x = project(clusters.features[here], clusters.positions_um[here])
    for number, label in enumerate(shown):
        colour = COLOURS[number % len(COLOURS)]
        style = dict(color=colour, marker=MARKERS[number % len(MARKERS)], s=14, lw=0, alpha=0.85)
        ax.scatter(*x[labels == label][:, :2].T, **style)
    ax.set_title(f"3  Encode, cluster\n({here.sum()} spikes, {len(shown)} clusters)")
    ax.set(xlabel="component 1 of features", ylabel="component 2", xticks=[], yticks=[])
    ax.spines[["top", "right"]].set_visible(False)


def draw_merge(panel, traces, clusters, pair, channels):
    """Panel 4: the templates of two clusters that merging makes one."""
    fs, ax = traces.sampling_frequency, panel.subplots()
    difference = differences(estimate_split_half(traces, clusters), pair[0])[0][pair[1]]
    labelled = clusters.compact()
    before, after = int(0.8 * fs / 1000), int(1.4 * fs / 1000)
    means = average_waveforms(traces, labelled.to_spike_vector(), labelled.n_units, before, after)
    time = (np.arange(before + after) - before) / fs * 1000
    step = 0.5 * np.ptp(means[pair[0]][:, channels])
    for number, label in enumerate(pair):
        stack(ax, time, means[label][:, channels], step, color=COLOURS[number], lw=(3.0, 1.2)[number])
    ax.set(title=f"4  Merge two clusters\n(difference {difference:.2f})", xlabel="time (ms)")
    bare(ax)


def draw_found(panel, traces, units, spike, channels, colours):
    """Panel 5: a stretch of clean traces with the waveforms of the units that were found in it."""
    fs, ax = traces.sampling_frequency, panel.subplots()
    start, stop = spike - int(FOUND_MS[0] * fs / 1000), spike + int(FOUND_MS[1] * fs / 1000)
    channels = channels[np.lexsort(traces.locations_um[channels].T)[::-1]]
    stretch = get_stretch(traces.recording, start, stop, channels)
    before, after = int(0.8 * fs / 1000), int(1.4 * fs / 1000)
    means = average_waveforms(traces, units.to_spike_vector(), units.n_units, before, after)
    step, offsets = 0.45 * np.ptp(stretch), np.arange(len(channels))
    stack(ax, (np.arange(start, stop) - spike) / fs * 1000, stretch, step, color=GREY, lw=0.7)
    inside = np.flatnonzero((units.sample_index > start + before) & (units.sample_index < stop - after))
    drawn = set()
    for index in inside:
        time = (np.arange(-before, after) + units.sample_index[index] - spike) / fs * 1000
        wave = means[units.label[index]][:, channels]
        large = np.abs(wave).max(axis=0) > LEAST_DRAWN
        ax.plot(time, (wave - step * offsets)[:, large], color=colours[int(units.label[index])], lw=1.4)
        drawn |= {int(units.label[index])} if large.any() else set()
    ax.set(title=f"5  Match the templates\n(spikes of {len(drawn)} units)", xlabel="time (ms)")
    bare(ax)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
