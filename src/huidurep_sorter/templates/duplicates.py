"""Spikes that matching found twice: a small template found in what a larger one had left of a spike."""

from dataclasses import dataclass

import numpy as np

from huidurep_sorter.spikes.spike_trains import are_coincident
from huidurep_sorter.templates.split_half import RULES as SPLIT_HALF_RULES
from huidurep_sorter.templates.split_half import are_near, estimate_split_half


@dataclass(frozen=True, kw_only=True)
class DuplicateRules:
    """When two spikes are one that was found twice."""

    min_residual_fraction: float = 0.1  # of a unit's spikes; fewer coincidences are left alone (units-10, units-33)
    moved_by: tuple = (1, 2, 3, 4, 5)  # windows by which a train is moved, to see what chance explains (units-69)


RULES = DuplicateRules()


def find_duplicated_spikes(traces, spikes):
    """Mark the spikes that are residuals of larger ones, (n_spikes,) bool; those of a copy of a unit too."""
    templates = estimate_split_half(traces, spikes)
    near = are_near(traces, templates)  # units so far apart that they can't see the same spikes are not compared
    return find_residual_spikes(spikes, traces.sampling_frequency, templates.norms(), near)


def find_residual_spikes(spikes, sampling_frequency, size, near, rules=RULES):
    """Find spikes that a small template found in what a large one had left of a spike.

    If more of a unit's spikes coincide with a larger unit's than chance explains, mark all that coincide (units-10).
    They coincide within the lag by which the peaks of one unit may lie apart.

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
    reach = SPLIT_HALF_RULES.max_lag_ms * sampling_frequency / 1000
    residual = np.zeros(len(spikes), dtype=bool)
    trains = spikes.trains()
    order = np.argsort(size, kind="stable")[::-1]
    for position, small in enumerate(order):
        train, marked = trains[small], np.zeros(len(trains[small]), dtype=bool)
        for large in order[:position]:
            if not near[small, large]:
                continue
            coincide = are_coincident(train, trains[large], reach)
            n, least = coincide.sum(), rules.min_residual_fraction * len(train)
            if n > least and n > least + most_by_chance(train, trains[large], reach, rules):
                marked |= coincide
        residual[spikes.label == small] = marked
        trains[small] = train[~marked]
    return residual


def most_by_chance(train, other, reach, rules=RULES):
    """Count the coincidences that chance explains: the most with the other train moved by some milliseconds.

    So neurons that fire together, in bursts or within a few milliseconds, are not taken for residuals of one another.
    """
    moves = 2 * reach * np.multiply.outer(rules.moved_by, (-1, 1)).ravel()  # a window is twice the reach wide
    return max(are_coincident(train, other + int(move), reach).sum() for move in moves)
