"""Clusters or units brought together, the most similar templates first.

Clustering channel by channel splits a unit that peaks on several channels, bursts or straddles sample times. Two
clusters are one unit if, at their best lag, their templates differ by little of their own size.
"""

from dataclasses import dataclass

import numpy as np

from huidurep_sorter.runtime import stage
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.split_half import are_near, channels_in_reach, compare, energies, estimate_split_half


@dataclass(frozen=True, kw_only=True)
class AgglomerationRules:
    """How readily clusters are merged, beside what the user's parameter says."""

    few_channels: int = 4  # within reach of a template, at most: neurons look more alike there (templates-30)
    share_on_few_channels: float = 0.75  # of `merge_max_difference` (templates-30)


RULES = AgglomerationRules()


@stage("merge")
def merge_clusters(traces, clusters, max_difference) -> Spikes:
    """Merge clusters whose templates are nearly the same (templates-7, templates-11, templates-23 to templates-27).

    Parameters
    ----------
    traces : Traces
    clusters : Spikes
        Labels 0 to n_clusters - 1, -1 for none.
    max_difference : float
        Norm of the difference of two templates of one unit, at most, over the norm of the larger; less on few channels.

    Returns
    -------
    clusters : Spikes
        Labels 0 to n_units - 1, -1 for none; moved so that the spikes of one unit are aligned.
    """
    if clusters.n_units < 2:
        return clusters
    templates = estimate_split_half(traces, clusters)
    if has_few_channels(traces):
        max_difference = RULES.share_on_few_channels * max_difference
    return unite_spikes(clusters, *agglomerate(templates, are_near(traces, templates), max_difference))


def has_few_channels(traces):
    """Say whether templates are seen on few channels, as on tetrodes."""
    return np.median(channels_in_reach(traces).sum(axis=1)) <= RULES.few_channels


def unite_spikes(spikes, groups, shifts) -> Spikes:
    """Label spikes by the group of their label, 0 to n_groups - 1, and move them by its shift."""
    _, groups = np.unique(groups, return_inverse=True)
    kept = spikes.label >= 0
    moved = spikes.moved(np.where(kept, shifts[spikes.label], 0))
    return moved.relabelled(np.where(kept, groups[spikes.label], -1))


def agglomerate(templates, allowed, max_difference):
    """Merge the two most similar templates until none are similar enough.

    Parameters
    ----------
    templates : SplitHalfTemplates
    allowed : (n_units, n_units) bool
        Which may be merged.
    max_difference : float

    Returns
    -------
    groups : (n_units,) int64
        Index of a unit that stands for the group.
    shifts : (n_units,) int64
        Samples to add to the spikes of each unit.
    """
    n = len(templates.counts)
    coefficients, counts = templates.coefficients.copy(), templates.counts.astype("float64")
    means, energy, allowed = coefficients.mean(axis=1), energies(coefficients), allowed.copy()
    np.fill_diagonal(allowed, False)
    groups, shifts = np.arange(n), np.zeros(n, dtype="int64")
    difference, lag = np.full((n, n), np.inf), np.zeros((n, n), dtype="int64")
    least = np.full(n, np.inf)  # of each row of `difference`

    def update(index):
        others, channels = np.flatnonzero(allowed[index]), means[index].any(axis=0)
        mean = means[index][:, channels]
        row, row_lag = compare(templates, means[others][..., channels], energy[others], mean, energy[index])
        difference[index, others], lag[index, others] = row, row_lag
        difference[others, index], lag[others, index] = row, -row_lag
        changed = [*others, index]
        least[changed] = difference[changed].min(axis=1)

    for index in range(n):
        update(index)
    while True:
        a = least.argmin()
        b = difference[a].argmin()
        if not difference[a, b] < max_difference:
            return groups, shifts
        if counts[a] < counts[b]:
            a, b = b, a
        move = lag[a, b]
        shift_matrix = templates.shifts[np.flatnonzero(templates.lags == move)[0]]
        moved = np.einsum("kj,hjc->hkc", shift_matrix, coefficients[b])
        coefficients[a] = (counts[a] * coefficients[a] + counts[b] * moved) / (counts[a] + counts[b])
        counts[a] += counts[b]
        means[a], energy[a] = coefficients[a].mean(axis=0), energies(coefficients[a])
        unite(groups, shifts, a, b, move)
        others = np.flatnonzero(allowed[b])
        allowed[b], allowed[:, b] = False, False
        difference[b], difference[:, b] = np.inf, np.inf
        least[b], least[others] = np.inf, difference[others].min(axis=1)
        update(a)


def unite(groups, shifts, a, b, lag):
    """Put the group of b into the group of a, in place; `lag` is what to add to b's spikes so that they fit a's."""
    members = groups == groups[b]
    shifts[members] += shifts[a] + lag - shifts[b]
    groups[members] = groups[a]
