"""Pictures of neurons that were followed through sessions."""

from dataclasses import dataclass

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from huidurep_sorter.report.figures import COLOURS, DPI, least_step


@dataclass(frozen=True, kw_only=True)
class PictureLimits:
    """How much is drawn."""

    max_autocorrelograms: int = 6  # sessions beside each other in a picture
    max_neurons: int = 300  # of a page, those seen in most sessions first; a limit of its size


LIMITS = PictureLimits()


def draw_neuron(tracked, neuron):
    """Draw a neuron through its sessions: mean waveforms on the probe, one over the other, and autocorrelograms.

    Parameters
    ----------
    tracked : TrackedUnits
    neuron : int
        As in ``tracked.units``.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such neuron.
    """
    seen = find_units(tracked, neuron)
    if not seen:
        raise ValueError(f"there is no neuron {neuron!r}: see tracked.units")
    n_shown = min(len(seen), LIMITS.max_autocorrelograms)
    figure = Figure(figsize=(2.6 + 2.0 * n_shown, 2.2), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, 1 + n_shown, width_ratios=[1.3] + [1.0] * n_shown, squeeze=False)[0]
    draw_waveforms(axes[0], tracked, seen)
    for ax, (session, unit) in zip(axes[1:], seen, strict=False):
        values, name = tracked.autocorrelograms[session][unit], list(tracked.shifts_um)[session]
        ax.stairs(values, tracked.bins_ms, fill=True, color=colour_of(session))
        ax.set(title=f"{name}: unit {unit_id(tracked, session, unit)}", xlim=(tracked.bins_ms[0], tracked.bins_ms[-1]))
        ax.set(xlabel="ms", ylim=(0, max(values.max(), 1e-3)), ylabel="Hz" if ax is axes[1] else None)
    return figure


def draw_waveforms(ax, tracked, seen):
    """Draw the mean waveforms of units, each (session, index), at the places of their channels."""
    places = np.concatenate([tracked.channels_um[session][unit] for session, unit in seen])
    places = np.unique(places[np.isfinite(places[:, 0])], axis=0)
    pitch_x, pitch_y = (least_step(places[:, axis], 40.0) for axis in (0, 1))
    largest = max(np.abs(tracked.waveforms[session][unit]).max() for session, unit in seen)
    for session, unit in seen:
        at, waveforms = tracked.channels_um[session][unit], tracked.waveforms[session][unit]
        here = np.isfinite(at[:, 0])
        x = at[here, 0][:, None] + 0.8 * pitch_x * np.linspace(-0.5, 0.5, len(waveforms))
        y = at[here, 1][:, None] + 1.2 * pitch_y * waveforms.T[here] / max(largest, 1e-9)
        ax.add_collection(
            LineCollection(np.stack([x, y], axis=2), colors=colour_of(session), linewidths=0.9, alpha=0.6)
        )
    ax.plot(*places.T, ".", color="0.7", ms=2, zorder=0)
    ax.set(title="mean waveforms", xticks=[], yticks=[])
    ax.autoscale_view()


def draw_overview(tracked):
    """Draw each unit's depth in each session, with a line between the units of one neuron.

    Parameters
    ----------
    tracked : TrackedUnits

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    names = list(tracked.shifts_um)
    figure = Figure(figsize=(1.5 + 1.5 * len(names), 5), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    units = tracked.units
    for _, rows in units.groupby("neuron"):
        x = [names.index(name) for name in rows["session"]]
        ax.plot(x, rows["y"], "-", color="0.6", lw=0.8, zorder=1)
        ax.scatter(x, rows["y"], c=[colour_of(k) for k in x], s=14 if len(x) > 1 else 5, zorder=2)
    shifts = [f"{name}\n{shift:+.1f} µm" for name, shift in tracked.shifts_um.items()]
    ax.set(
        xticks=range(len(names)),
        xticklabels=shifts,
        ylabel="depth (µm), shift taken off",
        xlim=(-0.3, len(names) - 0.7),
    )
    return figure


def find_units(tracked, neuron):
    """List the units of a neuron, each (index of the session, index of the unit)."""
    units, seen = tracked.units, []
    for session, name in enumerate(tracked.shifts_um):
        of_session = units.loc[units["session"] == name, "neuron"].to_numpy()
        seen += [(session, int(unit)) for unit in np.flatnonzero(of_session == neuron)]
    return seen


def unit_id(tracked, session, unit):
    """Give the id of a unit from the indices of its session and of itself."""
    units = tracked.units
    return units.loc[units["session"] == list(tracked.shifts_um)[session], "unit_id"].iloc[unit]


def colour_of(session):
    """Give the colour of a session."""
    return COLOURS[session % len(COLOURS)]
