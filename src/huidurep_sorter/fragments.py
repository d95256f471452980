"""Fragments of one unit that drift took apart: they take turns.

A unit that moves along the probe, where motion can't be corrected or was badly, is matched by one template here and by
another there. The two templates may differ by more than those of a unit that stays in place; but when one fragment
fires, the other is silent, and together they keep a refractory period.
"""

import numpy as np

from huidurep_sorter import merging
from huidurep_sorter.refractoriness import pair_ratio
from huidurep_sorter.units import count_presence

MAX_DIFFERENCE = 0.65  # of templates, over the norm of the larger
MAX_OVERLAP = 0.75  # of presence; 0.9 to 1.1 for units that don't mind each other
MAX_PAIR_RATIO = 0.35


def join(recording, units, halves):
    """Group and shift of each unit: of similar templates and firing in turns, the most similar first.

    Each fragment need only be like one other, as a unit that moves far is unlike itself from end to end.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    units : Units
    halves : HalfTemplates

    Returns
    -------
    groups : (n_units,) int64
        Index of a unit that stands for the group.
    shifts : (n_units,) int64
        Samples to add to the spikes of each unit.
    """
    n = len(halves.counts)
    groups, shifts = np.arange(n), np.zeros(n, dtype="int64")
    for _, a, b, lag in sorted(find_pairs(recording, units, halves)):
        if groups[a] != groups[b]:
            merging.unite(groups, shifts, a, b, lag)
    return groups, shifts


def find_pairs(recording, units, halves):
    """Pairs of fragments, a list of (difference, unit, other unit, lag)."""
    near, overlap = merging.are_near(recording, halves), presence_overlap(count_presence(recording, units))
    trains, fs, duration = units.trains(), recording.sampling_frequency, recording.get_total_samples()
    pairs = []
    for a in range(len(trains)):
        difference, lag = merging.differences(halves, a)
        candidates = near[a] & (difference < MAX_DIFFERENCE) & (overlap[a] < MAX_OVERLAP)
        for b in np.flatnonzero(candidates[:a]):
            if pair_ratio(trains[a], trains[b], fs, duration)[0] < MAX_PAIR_RATIO:
                pairs.append((difference[b], a, b, lag[b]))
    return pairs


def presence_overlap(counts):
    """How often two units fire in the same stretches of time, over what is expected of stationary ones.

    Parameters
    ----------
    counts : (n_units, n_bins) int64
        Spikes of each unit in each stretch.

    Returns
    -------
    overlap : (n_units, n_units) float64
        1 for independent units, 0 for units that take turns.
    """
    share = counts / counts.sum(axis=1, keepdims=True)
    return share @ share.T * counts.shape[1]
