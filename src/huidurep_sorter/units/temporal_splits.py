"""Temporal splits: units of one neuron that drift took apart. They take turns.

A neuron that moves along the probe, where motion can't be corrected or was badly, is matched by one template here and
by another there. The two templates may differ by more than those of a neuron that stays in place; but when one unit
fires, the other is silent, and together they keep a refractory period. Where the neuron moves steadily, the last
spikes of the one look like the first of the other. Where it jumps they don't, but its size hardly changes (units-19,
units-25).
"""

from dataclasses import dataclass, replace

import numpy as np

from huidurep_sorter.spikes.spike_trains import count_presence, lags_to_nearest, pair_ratio, presence_overlap
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.agglomeration import unite
from huidurep_sorter.templates.split_half import are_near, differences, estimate_split_half
from huidurep_sorter.units.merging import regroup


@dataclass(frozen=True, kw_only=True)
class TemporalSplitRules:
    """When two units are one neuron at two times.

    Differences are those of templates, over the norm of the larger one.
    """

    max_pair_ratio: float = 0.35  # pairs within the refractory period, over chance; as for merging (units-42)
    max_difference: float = 0.8  # of the units (units-23, units-42)
    max_overlap: float = 0.9  # of presence; 0.9 to 1.1 for independent units (units-20, units-42)
    n_spikes_at_handover: int = 50  # of each unit, those nearest in time to the other's (units-23, units-43)
    max_difference_at_handover: float = 0.45  # of those spikes (units-23, units-43)
    max_difference_from_own: float = 0.55  # of those spikes from their unit; more: a third one's (units-23, units-43)
    max_difference_of_jump: float = 0.55  # of the units, where the neuron jumped (units-24, units-44)
    max_overlap_of_jump: float = 0.75  # of presence, where it jumped (units-20, units-44)
    min_size_ratio_of_jump: float = 0.7  # of the templates' norms, where it jumped (units-24, units-44)


RULES = TemporalSplitRules()


def merge_temporal_splits(traces, units, templates) -> Spikes:
    """Merge units of one neuron that take turns; `templates` are those of the units."""
    return regroup(traces, units, *group_temporal_splits(traces, units, templates))


def group_temporal_splits(traces, units, templates, rules=RULES):
    """Group units that take turns, the most similar first.

    Each unit need only be like one other, as a neuron that moves far is unlike itself from end to end; but what is
    grouped shares one refractory period.

    Parameters
    ----------
    traces : Traces
    units : Spikes
    templates : SplitHalfTemplates

    Returns
    -------
    groups : (n_units,) int64
        Index of a unit that stands for the group.
    shifts : (n_units,) int64
        Samples to add to the spikes of each unit.
    """
    n, trains = len(templates.counts), units.trains()
    groups, shifts = np.arange(n), np.zeros(n, dtype="int64")
    for _, a, b, lag in sorted(find_pairs(traces, units, templates, rules)):
        if groups[a] == groups[b]:
            continue
        wholes = [np.sort(np.concatenate([trains[i] for i in np.flatnonzero(groups == groups[x])])) for x in (a, b)]
        if share_refractory_period(traces, *wholes, rules):
            unite(groups, shifts, a, b, lag)
    return groups, shifts


def share_refractory_period(traces, train, other, rules=RULES):
    """Say whether the spikes of two units, or groups of units, avoid one another as those of one neuron do."""
    ratio, _ = pair_ratio(train, other, traces.sampling_frequency, traces.n_samples_with_signal)
    return ratio < rules.max_pair_ratio


def find_pairs(traces, units, templates, rules=RULES):
    """List the pairs of units that are one neuron at two times, as (difference, unit, other unit, lag)."""
    on_clock = replace(units, sample_index=traces.on_clock_of_signal(units.sample_index))
    presence = count_presence(on_clock, traces.sampling_frequency, traces.n_samples_with_signal)
    overlap, norms, trains = presence_overlap(presence), templates.norms(), units.trains()
    candidates = find_candidates(traces, trains, templates, overlap, rules)
    at_handover = differences_at_handover(traces, trains, [(a, b) for _, a, b, _ in candidates], rules)
    pairs = []
    for (difference, a, b, lag), handed_over in zip(candidates, at_handover, strict=True):
        size_ratio = min(norms[a], norms[b]) / max(norms[a], norms[b], 1e-9)
        if is_temporal_split(difference, handed_over, overlap[a, b], size_ratio, rules):
            pairs.append((min(difference, handed_over), a, b, lag))
    return pairs


def is_temporal_split(difference, difference_at_handover, overlap, size_ratio, rules=RULES):
    """Decide whether two units that take turns and share a refractory period are one neuron.

    They are if they are alike where one hands over to the other, or if they are as large as each other, not too unlike,
    and hardly ever active together.

    Parameters
    ----------
    difference : float
        Of the units' templates.
    difference_at_handover : float
        Of the templates of the spikes nearest in time; infinite if those spikes are unlike their own unit's.
    overlap : float
        Of presence, as from `spike_trains.presence_overlap`.
    size_ratio : float
        Norm of the smaller template over that of the larger.
    rules : TemporalSplitRules
    """
    jumped = difference < rules.max_difference_of_jump and overlap < rules.max_overlap_of_jump
    jumped = jumped and size_ratio > rules.min_size_ratio_of_jump
    return bool(difference_at_handover < rules.max_difference_at_handover or jumped)


def find_candidates(traces, trains, templates, overlap, rules=RULES):
    """List pairs that may be temporal splits, as `find_pairs` does.

    They are near, similar enough, fire in turns and share a refractory period.
    """
    near, candidates = are_near(traces, templates), []
    for a in range(len(trains)):
        others = np.flatnonzero(near[a, :a] & (overlap[a, :a] < rules.max_overlap))
        difference, lag = differences(templates, a, others)
        for k in np.flatnonzero(difference < rules.max_difference):
            if share_refractory_period(traces, trains[a], trains[others[k]], rules):
                candidates.append((difference[k], a, others[k], lag[k]))
    return candidates


def differences_at_handover(traces, trains, pairs, rules=RULES):
    """Measure how much the templates of two units differ if made of those of their spikes that are nearest in time.

    Parameters
    ----------
    traces : Traces
    trains : list of (n,) int64
    pairs : list of (int, int)

    Returns
    -------
    difference : (n_pairs,) float
        Over the norm of the larger of the two; infinite where the spikes are unlike those of their own unit.
    """
    out = np.full(len(pairs), np.inf)
    if not pairs:
        return out
    own, n = np.unique(pairs), rules.n_spikes_at_handover
    at_handover = [nearest_spikes(trains[x], trains[y], n) for a, b in pairs for x, y in ((a, b), (b, a))]
    parts = [trains[unit] for unit in own] + at_handover
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    templates = estimate_split_half(traces, Spikes.at(np.concatenate(parts), -1, labels))
    for i, pair in enumerate(np.searchsorted(own, pairs)):
        first = len(own) + 2 * i
        four = templates.take([*pair, first, first + 1])
        from_own = max(differences(four, 0)[0][2], differences(four, 1)[0][3])
        if from_own < rules.max_difference_from_own:
            out[i] = differences(four, 2)[0][3]
    return out


def nearest_spikes(train, other, n):
    """Find those of a train's spikes that are nearest in time to another's, (at most n,) int64."""
    away = np.abs(lags_to_nearest(train, other)).min(axis=1)
    return train[np.argsort(away, kind="stable")[:n]]
