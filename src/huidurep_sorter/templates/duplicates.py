"""Spikes that matching found twice: a small template found in what a larger one had left of a spike."""

from dataclasses import dataclass

import numpy as np

from huidurep_sorter.spikes.spike_trains import are_coincident
from huidurep_sorter.templates.split_half import are_near, estimate_split_half


@dataclass(frozen=True, kw_only=True)
class DuplicateRules:
    """When two spikes are one that was found twice."""

    residual_ms: float = 0.5  # ms from a larger unit's spike, within which its residual is matched (units-10, units-33)
    min_residual_fraction: float = 0.1  # of a unit's spikes; fewer coincidences are left alone (units-10, units-33)
    moved_by: tuple = (5, 7, 9, 11)  # windows by which a train is moved, to see what chance explains (units-50)
    times_chance: float = 3.0  # coincidences over those that chance explains, to be taken for residuals (units-33)


RULES = DuplicateRules()


def find_duplicated_spikes(traces, spikes):
    """Mark the spikes that are residuals of larger ones, (n_spikes,) bool; those of a copy of a unit too."""
    templates = estimate_split_half(traces, spikes)
    near = are_near(traces, templates)  # units so far apart that they can't see the same spikes are not compared
    return find_residual_spikes(spikes, traces.sampling_frequency, templates.norms(), near)


def find_residual_spikes(spikes, sampling_frequency, size, near, rules=RULES):
    """Find spikes that a small template found in what a large one had left of a spike.

    If more of a unit's spikes coincide with a larger unit's than chance explains, mark all that coincide (units-10).

    Parameters
    ----------
    spikes : Spikes
    sampling_frequency : float
    size : (n_units,) float
    near : (n_units, n_units) bool

    Returns
    -------
    residual : (n_spikes,) bool
    """
    reach = rules.residual_ms * sampling_frequency / 1000
    residual = np.zeros(len(spikes), dtype=bool)
    trains = spikes.trains()
    order = np.argsort(size, kind="stable")[::-1]
    for position, small in enumerate(order):
        train, marked = trains[small], np.zeros(len(trains[small]), dtype=bool)
        for large in order[:position]:
            if not near[small, large]:
                continue
            coincide = are_coincident(train, trains[large], reach)
            expected = expected_coincidences(train, trains[large], reach, rules)
            if are_residuals(coincide.sum(), len(train), expected, rules):
                marked |= coincide
        residual[spikes.label == small] = marked
        trains[small] = train[~marked]
    return residual


def expected_coincidences(train, other, reach, rules=RULES):
    """Count the coincidences that chance explains: those with the other train moved by some milliseconds.

    So neurons that burst together are not taken for residuals of one another.
    """
    moves = 2 * reach * np.multiply.outer(rules.moved_by, (-1, 1)).ravel()  # a window is twice the reach wide
    return np.mean([are_coincident(train, other + int(move), reach).sum() for move in moves])


def are_residuals(n_coincident, n_spikes, n_expected, rules=RULES):
    """Decide whether so many coincidences of a unit with a larger one are residuals of its spikes."""
    return n_coincident > rules.min_residual_fraction * n_spikes + rules.times_chance * n_expected
