"""Fragments of one unit that drift took apart: they take turns.

A unit that moves along the probe, where motion can't be corrected or was badly, is matched by one template here and by
another there. The two templates may differ by more than those of a unit that stays in place; but when one fragment
fires, the other is silent, and together they keep a refractory period. Where the unit moves steadily, the last spikes
of the one look like the first of the other. Where it jumps they don't, but its size hardly changes.
"""

import numpy as np

from huidurep_sorter.spikes.spike_trains import pair_ratio
from huidurep_sorter.spikes.spikes import count_presence
from huidurep_sorter.templates import agglomeration as merging
from huidurep_sorter.templates.duplicates import lags_to_nearest

MAX_PAIR_RATIO = 0.35
MAX_DIFFERENCE = 0.8  # of templates, over the norm of the larger
MAX_OVERLAP = 0.9  # of presence; 0.9 to 1.1 for units that don't mind each other
N_AT_HANDOVER = 50  # spikes of each that are nearest in time to the other's
MAX_DIFFERENCE_AT_HANDOVER = 0.45
MAX_DIFFERENCE_FROM_OWN = 0.55  # of those spikes from the whole unit; more where both units took a third one's spikes
MAX_DIFFERENCE_OF_JUMP = 0.55
MAX_OVERLAP_OF_JUMP = 0.75
MIN_SIZE_RATIO_OF_JUMP = 0.7


def join(recording, units, halves, job_kwargs=None):
    """Group and shift of each unit: of similar templates and firing in turns, the most similar first.

    Each fragment need only be like one other, as a unit that moves far is unlike itself from end to end; but what is
    joined shares one refractory period.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    units : Units
    halves : HalfTemplates
    job_kwargs : dict, optional

    Returns
    -------
    groups : (n_units,) int64
        Index of a unit that stands for the group.
    shifts : (n_units,) int64
        Samples to add to the spikes of each unit.
    """
    n, trains = len(halves.counts), units.trains()
    groups, shifts = np.arange(n), np.zeros(n, dtype="int64")
    for _, a, b, lag in sorted(find_pairs(recording, units, halves, job_kwargs)):
        if groups[a] == groups[b]:
            continue
        wholes = [np.sort(np.concatenate([trains[i] for i in np.flatnonzero(groups == groups[x])])) for x in (a, b)]
        if share_refractory_period(recording, *wholes):
            merging.unite(groups, shifts, a, b, lag)
    return groups, shifts


def share_refractory_period(recording, train, other):
    """Whether the spikes of two units, or groups of units, avoid one another as those of one neuron do."""
    ratio, _ = pair_ratio(train, other, recording.sampling_frequency, recording.get_total_samples())
    return ratio < MAX_PAIR_RATIO


def find_pairs(recording, units, halves, job_kwargs=None):
    """Pairs of fragments, a list of (difference, unit, other unit, lag)."""
    overlap, norms = presence_overlap(count_presence(recording, units)), merging.template_norms(halves)
    trains = units.trains()
    candidates = find_candidates(recording, trains, halves, overlap)
    at_handover = differences_at_handover(recording, trains, [(a, b) for _, a, b, _ in candidates], job_kwargs)
    pairs = []
    for (difference, a, b, lag), handed_over in zip(candidates, at_handover, strict=True):
        size_ratio = min(norms[a], norms[b]) / max(norms[a], norms[b], 1e-9)
        jumped = difference < MAX_DIFFERENCE_OF_JUMP and overlap[a, b] < MAX_OVERLAP_OF_JUMP
        jumped = jumped and size_ratio > MIN_SIZE_RATIO_OF_JUMP
        if handed_over < MAX_DIFFERENCE_AT_HANDOVER or jumped:
            pairs.append((min(difference, handed_over), a, b, lag))
    return pairs


def find_candidates(recording, trains, halves, overlap):
    """Pairs that may be fragments: near, not too unlike, in turns and refractory; as from `find_pairs`."""
    near, candidates = merging.are_near(recording, halves), []
    for a in range(len(trains)):
        difference, lag = merging.differences(halves, a)
        alike = near[a] & (difference < MAX_DIFFERENCE) & (overlap[a] < MAX_OVERLAP)
        for b in np.flatnonzero(alike[:a]):
            if share_refractory_period(recording, trains[a], trains[b]):
                candidates.append((difference[b], a, b, lag[b]))
    return candidates


def differences_at_handover(recording, trains, pairs, job_kwargs=None):
    """How much the templates of two units differ if made of those of their spikes that are nearest in time.

    Parameters
    ----------
    recording : BaseRecording
    trains : list of (n,) int64
    pairs : list of (int, int)
    job_kwargs : dict, optional

    Returns
    -------
    difference : (n_pairs,) float
        Over the norm of the larger of the two; infinite where the spikes are unlike those of their own unit.
    """
    out = np.full(len(pairs), np.inf)
    if not pairs:
        return out
    own = np.unique(pairs)
    at_handover = [nearest_spikes(trains[x], trains[y]) for a, b in pairs for x, y in ((a, b), (b, a))]
    spikes = [trains[unit] for unit in own] + at_handover
    labels = np.repeat(np.arange(len(spikes)), [len(s) for s in spikes])
    halves = merging.estimate_halves(recording, np.concatenate(spikes), labels, job_kwargs)
    for i, pair in enumerate(np.searchsorted(own, pairs)):
        first = len(own) + 2 * i
        four = halves.select([*pair, first, first + 1])
        from_own = max(merging.differences(four, 0)[0][2], merging.differences(four, 1)[0][3])
        if from_own < MAX_DIFFERENCE_FROM_OWN:
            out[i] = merging.differences(four, 2)[0][3]
    return out


def nearest_spikes(train, other):
    """Those of a train's spikes that are nearest in time to another's, (at most `N_AT_HANDOVER`,) int64."""
    away = np.abs(lags_to_nearest(train, other)).min(axis=1)
    return train[np.argsort(away, kind="stable")[:N_AT_HANDOVER]]


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
