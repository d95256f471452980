"""Pictures of the report, each as a PNG in a `data:` address, so that the page needs no other file."""

import base64
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from huidurep_sorter.report.findings import draw

DPI = 110
MAX_PALETTE = 128  # colours of a picture; more makes the page heavier, not clearer
COLOURS = (  # of units; each differs much from the next ones, and none is grey
    *("#e6194b", "#4363d8", "#e0b000", "#911eb4", "#3cb44b", "#f58231", "#000075", "#42d4f4", "#800000", "#9acd32"),
    *("#f032e6", "#469990", "#9a6324", "#b28dff", "#808000", "#ff8fa3", "#5a3fc0", "#00c08b", "#202020", "#6a9fd0"),
)
NO_UNIT = "0.75"
SET_ASIDE = "#ffd0d0"
MAX_MAPPED = 2000  # spikes in the map of the embedding; a limit of time
MAX_LABELLED = 80  # units; the numbers of more would hide the spikes
MAX_PER_UNIT = 15  # spikes of each unit in that map
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 8}


def colours_of(n_units, depth_um):
    """Give each unit a colour such that those of similar depth differ, a list of n_units."""
    colours = np.empty(n_units, dtype=object)
    for rank, unit in enumerate(np.argsort(depth_um, kind="stable")):
        colours[unit] = COLOURS[rank % len(COLOURS)]
    return list(colours)


def as_image(figure):
    """Draw a figure, and give it as the address of an image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    image = image.quantize(MAX_PALETTE, method=Image.Quantize.FASTOCTREE)
    stream = BytesIO()
    image.save(stream, format="png")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def draw_overview(findings, units_um, colours, artefacts, motion):
    """Draw the drift raster and what was set aside, and beside it the probe with its units.

    Where motion was corrected, there are two rasters: as recorded, with the motion, and as corrected.

    Parameters
    ----------
    findings : Findings
    units_um : (n_units, 2) float
    colours : list of n_units
    artefacts : structured array (n_periods,)
        As `artefacts.npy` has them.
    motion : Motion or None
    """
    n_rows = 1 if motion is None else 2
    figure = Figure(figsize=(11.5, 4.2 * n_rows), dpi=DPI, layout="constrained")
    panels = figure.subplots(n_rows, 2, sharey=True, squeeze=False, width_ratios=[4, 1])
    depths_um = [findings.peak_um[:, 1]]
    if motion is not None:
        times = findings.peak_sample / findings.sampling_frequency[0] + motion.temporal_bins_s[0][0]
        moved = motion.get_displacement_at_time_and_depth(times, depths_um[0], segment_index=0)
        depths_um.insert(0, depths_um[0] + moved)
    for (raster, probe), depth_um in zip(panels, depths_um, strict=True):
        draw_raster(raster, findings, depth_um, colours, artefacts)
        draw_probe(probe, findings, units_um, colours)
    if motion is not None:
        draw_motion(panels[0, 0], motion)
        panels[0, 0].set(title="as recorded, and the motion that was measured")
        panels[1, 0].set(title="after the correction")
    return as_image(figure)


def draw_raster(axes, findings, depth_um, colours, artefacts):
    """Draw peaks over time and depth in the colours of their units, and periods that were set aside."""
    fs = findings.sampling_frequency[0]
    shades = np.array([*colours, NO_UNIT], dtype=object)
    size = float(np.clip(40_000 / max(len(depth_um), 1), 1, 5))
    for owned in (False, True):  # those of units over the others
        mine = np.flatnonzero((findings.peak_owner >= 0) == owned)
        shade = list(shades[findings.peak_owner[mine]])
        axes.scatter(findings.peak_sample[mine] / fs, depth_um[mine], s=size, c=shade, linewidths=0)
    for start, stop in zip(artefacts["start_sample_index"] / fs, artefacts["end_sample_index"] / fs, strict=True):
        axes.axvspan(start, stop, color=SET_ASIDE, zorder=0, linewidth=0.5)
    axes.set(xlabel="time (s)", ylabel="depth (µm)", xlim=(0, findings.n_samples[0] / fs))


def draw_motion(axes, motion):
    """Draw the motion that was measured, at the depths where it was, as lines over the raster."""
    for displacement, times in zip(motion.displacement, motion.temporal_bins_s, strict=True):
        for column, depth in zip(displacement.T, motion.spatial_bins_um, strict=True):
            axes.plot(times - times[0], depth + column, color="black", lw=1)


def draw_probe(axes, findings, units_um, colours):
    """Draw the contacts and the units."""
    contacts = findings.contacts_um
    axes.plot(*contacts.T, "s", color="0.85", ms=2.5)
    axes.scatter(*np.reshape(units_um, (-1, 2)).T, c=colours, s=26, edgecolors="white", linewidths=0.5, zorder=2)
    middle, half = np.ptp(contacts[:, 0]) / 2 + contacts[:, 0].min(), np.ptp(contacts[:, 0]) / 2 + 40
    axes.set(xlabel="x (µm)", xlim=(middle - half, middle + half))


def draw_map(findings, colours):
    """Draw spikes of each unit on a map in which those of similar features lie near each other (t-SNE)."""
    n_units = len(colours)
    per_unit = max(5, min(MAX_PER_UNIT, MAX_MAPPED // max(n_units, 1)))
    shown = draw(np.random.default_rng(0), findings.embedded_owner, per_unit)
    if len(shown) < 20:
        return None
    place = findings.contacts_um[findings.embedded_channel[shown]]
    features = findings.embedded[shown]
    features = np.column_stack([features / features.std(), place / 40.0])  # 40 um apart as far as one deviation
    at = TSNE(perplexity=min(30.0, len(shown) / 4), init="pca", max_iter=300, random_state=0).fit_transform(features)
    figure = Figure(figsize=(7, 5.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    owner = findings.embedded_owner[shown]
    axes.scatter(*at.T, c=[colours[unit] for unit in owner], s=7, linewidths=0)
    for unit in np.unique(owner) if n_units <= MAX_LABELLED else ():
        text = axes.annotate(str(unit), np.median(at[owner == unit], axis=0), weight="bold", ha="center", va="center")
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
    axes.set(xticks=[], yticks=[])
    return as_image(figure)


def draw_units(findings, autocorrelograms, bins_ms, colours):
    """Draw each unit: waveforms on the probe, autocorrelogram, amplitudes, neighbours in the embedding.

    On one figure, again and again, which takes a third of the time of new ones.

    Parameters
    ----------
    findings : Findings
    autocorrelograms : (n_units, n_bins) float
        Spikes a second.
    bins_ms : (n_bins + 1,) float
    colours : list of n_units

    Yields
    ------
    image : str
        As `as_image` gives.
    """
    figure = Figure(figsize=(11.5, 1.9), dpi=DPI)
    grid = dict(left=0.03, right=0.99, top=0.86, bottom=0.14, wspace=0.14)  # to compute a layout takes most of the time
    waveforms, autocorrelogram, amplitudes, neighbours = figure.subplots(
        1, 4, width_ratios=[1, 1.1, 2, 1], gridspec_kw=grid
    )
    waveforms.set(title="mean waveform on the probe", xticks=[], yticks=[])
    autocorrelogram.set(title="autocorrelogram (Hz), ms", xlim=(bins_ms[0], bins_ms[-1]))
    amplitudes.set(
        title="amplitude (units of noise), s", xlim=(0, findings.n_samples[0] / findings.sampling_frequency[0])
    )
    neighbours.set(title="neighbours in the embedding", xticks=[], yticks=[])
    for axes in (autocorrelogram, amplitudes):
        axes.locator_params(nbins=4)
    for unit, colour in enumerate(colours):
        for axes in figure.axes:
            remove_drawn(axes)
        draw_waveforms(waveforms, findings, unit, colour)
        autocorrelogram.stairs(autocorrelograms[unit], bins_ms, fill=True, color=colour)
        autocorrelogram.set_ylim(0, max(autocorrelograms[unit].max(), 1e-3))
        draw_amplitudes(amplitudes, findings, unit, colour)
        draw_neighbours(neighbours, findings, unit, colours)
        yield as_image(figure)


def remove_drawn(axes):
    """Remove what was drawn on axes; their titles and ticks stay."""
    for artist in [*axes.lines, *axes.collections, *axes.patches]:
        artist.remove()


def draw_waveforms(axes, findings, unit, colour):
    """Draw the mean waveform on each near channel, at the channel's place."""
    near, index = np.unique(findings.near[unit], return_index=True)
    waveforms, places = findings.waveforms[unit][:, index], findings.contacts_um[near]
    pitch_x, pitch_y = (least_step(places[:, axis], 40.0) for axis in (0, 1))
    x = places[:, 0][:, None] + 0.8 * pitch_x * np.linspace(-0.5, 0.5, len(waveforms))
    y = places[:, 1][:, None] + 1.2 * pitch_y * waveforms.T / max(np.abs(waveforms).max(), 1e-9)
    axes.add_collection(LineCollection(np.stack([x, y], axis=2), colors=colour, linewidths=1))
    axes.plot(*places.T, ".", color="0.7", ms=2)
    axes.set(xlim=(x.min(), x.max()), ylim=(min(y.min(), places[:, 1].min()), max(y.max(), places[:, 1].max())))


def draw_amplitudes(axes, findings, unit, colour):
    """Draw the size of spikes over time."""
    mine = findings.spike_owner == unit
    size, times = findings.spike_amplitude[mine], findings.spike_sample[mine] / findings.sampling_frequency[0]
    axes.plot(times, size, ".", color=colour, ms=2)
    axes.set_ylim(0, 1.1 * size.max(initial=1.0))


def draw_neighbours(axes, findings, unit, colours):
    """Draw the spikes on the unit's channel in the plane of the embedding in which they differ most."""
    mine = findings.embedded_owner == unit
    if mine.sum() < 3:
        return
    here = findings.embedded_channel == np.bincount(findings.embedded_channel[mine]).argmax()
    at, owner = PCA(2, random_state=0).fit_transform(findings.embedded[here]), findings.embedded_owner[here]
    shades = np.array([*colours, NO_UNIT], dtype=object)[owner]
    order = np.argsort(owner == unit, kind="stable")  # its own on top
    axes.scatter(*at[order].T, c=list(shades[order]), s=np.where(owner == unit, 6, 3)[order], linewidths=0)
    axes.set(xlim=with_margin(at[:, 0]), ylim=with_margin(at[:, 1]))


def with_margin(values):
    """Give the least and the largest value, a twentieth of their range apart."""
    margin = 0.05 * max(np.ptp(values), 1e-9)
    return values.min() - margin, values.max() + margin


def least_step(values, default):
    """Give the least distance between values that differ, or the default where none do."""
    steps = np.diff(np.unique(values.round(1)))
    return steps.min() if len(steps) else default
