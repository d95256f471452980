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
    coefficients, counts = templates.coefficients.copy(), templates.counts.astype("float64")
    means, energy, pairs = coefficients.mean(axis=1), energies(coefficients), Pairs.of(allowed)
    groups, shifts = np.arange(len(counts)), np.zeros(len(counts), dtype="int64")

    def update(index):
        others, channels = pairs.others_of(index), np.flatnonzero(means[index].any(axis=0))
        mean = means[index][:, channels]
        theirs = means[others[:, None, None], np.arange(len(mean))[:, None], channels]
        pairs.put(index, *compare(templates, theirs, energy[others], mean, energy[index]))

    for index in range(len(counts)):
        update(index)
    while True:
        a, b, difference, move = pairs.least_pair()
        if not difference < max_difference:
            return groups, shifts
        if counts[a] < counts[b]:
            a, b, move = b, a, -move
        shift_matrix = templates.shifts[np.flatnonzero(templates.lags == move)[0]]
        moved = np.einsum("kj,hjc->hkc", shift_matrix, coefficients[b])
        coefficients[a] = (counts[a] * coefficients[a] + counts[b] * moved) / (counts[a] + counts[b])
        counts[a] += counts[b]
        means[a], energy[a] = coefficients[a].mean(axis=0), energies(coefficients[a])
        unite(groups, shifts, a, b, move)
        pairs.remove(b)
        update(a)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Differences of the pairs that may be merged: each unit has few near it, so that no table of all pairs is needed.

    Attributes
    ----------
    near : (n_units, most) int64
        Units that each may be merged with; -1 fills up.
    place : (n_units, most) int64
        Where that unit has this one among its own.
    difference : (n_units, most) float64
        Infinite for none, or for one that was merged.
    lag : (n_units, most) int64
    least : (n_units,) float64
        Of each row of `difference`.
    """

    near: np.ndarray
    place: np.ndarray
    difference: np.ndarray
    lag: np.ndarray
    least: np.ndarray

    @classmethod
    def of(cls, allowed) -> "Pairs":
        """Make them of a symmetric table (n_units, n_units) bool, whose diagonal doesn't count."""
        allowed = allowed & ~np.eye(len(allowed), dtype=bool)
        first, second = np.nonzero(allowed)
        n_near = allowed.sum(axis=1)
        shape = (len(allowed), max(n_near.max(initial=0), 1))
        rank = np.arange(len(first)) - np.repeat(np.cumsum(n_near) - n_near, n_near)
        near, place = np.full(shape, -1), np.zeros(shape, dtype="int64")
        near[first, rank] = second
        mirrored = np.lexsort((first, second))  # the pair (b, a) stands where (a, b) does in this order
        place[first, rank] = rank[mirrored]
        least, lag = np.full(len(allowed), np.inf), np.zeros(shape, dtype="int64")
        return cls(near=near, place=place, difference=np.full(shape, np.inf), lag=lag, least=least)

    def others_of(self, index):
        """List the units that a unit may still be merged with, (n,) int64."""
        return self.near[index][self.near[index] >= 0]

    def put(self, index, difference, lag):
        """Set how much a unit differs from each of `others_of` it, (n,), and the lags by which those fit it."""
        here = np.flatnonzero(self.near[index] >= 0)
        others, there = self.near[index, here], self.place[index, here]
        self.difference[index, here], self.lag[index, here] = difference, lag
        self.difference[others, there], self.lag[others, there] = difference, -lag
        changed = np.append(others, index)
        self.least[changed] = self.difference[changed].min(axis=1)

    def least_pair(self):
        """Find the pair that differs least: two units, their difference, and the lag by which the second fits."""
        a = self.least.argmin()
        k = self.difference[a].argmin()
        return a, self.near[a, k], self.difference[a, k], self.lag[a, k]

    def remove(self, index):
        """Leave out a unit that was merged."""
        here = np.flatnonzero(self.near[index] >= 0)
        others, there = self.near[index, here], self.place[index, here]
        self.near[others, there] = self.near[index] = -1
        self.difference[others, there] = self.difference[index] = np.inf
        self.least[others], self.least[index] = self.difference[others].min(axis=1), np.inf


def unite(groups, shifts, a, b, lag):
    """Put the group of b into the group of a, in place; `lag` is what to add to b's spikes so that they fit a's."""
    members = groups == groups[b]
    shifts[members] += shifts[a] + lag - shifts[b]
    groups[members] = groups[a]
