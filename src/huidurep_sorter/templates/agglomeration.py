"""Groups of spikes brought together, those that are one neuron's most surely first.

Clustering channel by channel splits a unit that peaks on several channels, bursts or straddles sample times, and
matching finds one neuron by several templates. A network says of each two groups how probable it is that they are one
neuron, from their templates, trains and features (units-59).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from huidurep_sorter.encoder.small_networks import load_networks
from huidurep_sorter.runtime import stage
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.groups import describe_groups


@dataclass(frozen=True, kw_only=True)
class AgglomerationRules:
    """Which decisions are kept."""

    min_probability_of_note: float = 0.05  # of a merge or split that was not done; a limit: of less nobody has a doubt


RULES = AgglomerationRules()
COLUMNS = dict(
    stage="str",
    decision="str",  # "merged", "kept apart", "split" or "kept whole"
    probability="float64",
    num_spikes="int64",
    num_spikes_of_other="int64",
    channel_index="int64",
)


@stage("merge")
def merge_clusters(traces, clusters, parameters):
    """Merge clusters that are probably one neuron.

    Parameters
    ----------
    traces : Traces
    clusters : Spikes
        Labels 0 to n_clusters - 1, -1 for none.
    parameters : SortingParameters
        `min_merge_probability`, `features` and what they take are used.

    Returns
    -------
    clusters : Spikes
        Labels 0 to n_units - 1, -1 for none; moved so that the spikes of one unit are aligned.
    decisions : DataFrame
        As from `find_groups`.
    """
    if clusters.n_units < 2:
        return clusters, as_table([])
    *groups, decisions = find_groups(traces, clusters, parameters, "clusters")
    return unite_spikes(clusters, *groups), decisions


def find_groups(traces, spikes, parameters, stage):
    """Group the labels of spikes that are probably one neuron.

    Returns
    -------
    groups, shifts : (n_labels,) int64
        As from `agglomerate`.
    decisions : DataFrame
        A row a pair that was merged, or that might have been: `COLUMNS`.
    """
    if spikes.n_units < 2:
        return np.arange(spikes.n_units), np.zeros(spikes.n_units, dtype="int64"), as_table([])
    groups, comparable = describe_groups(traces, spikes, parameters)
    networks = load_networks("same_neuron", parameters.features)

    def probability(evidence):
        return networks.probability(evidence)[:, 0]

    *found, decisions = agglomerate(groups, comparable, probability, parameters.min_merge_probability)
    return *found, as_table(decisions, stage)


def as_table(decisions, stage=""):
    """Make a table of decisions, as `agglomerate` gives them, of one stage: "clusters" or "units"."""
    table = pd.DataFrame(decisions, columns=list(COLUMNS)[1:])
    table.insert(0, "stage", stage)
    return table.astype(COLUMNS)


def unite_spikes(spikes, groups, shifts) -> Spikes:
    """Label spikes by the group of their label, 0 to n_groups - 1, and move them by its shift."""
    _, groups = np.unique(groups, return_inverse=True)
    kept = spikes.label >= 0
    moved = spikes.moved(np.where(kept, shifts[spikes.label], 0))
    return moved.relabelled(np.where(kept, groups[spikes.label], -1))


def agglomerate(groups, comparable, probability, min_probability):
    """Merge the two groups that are most probably one neuron until none are probable enough.

    Parameters
    ----------
    groups : Groups
        Changed in place.
    comparable : (n_groups, n_groups) bool
    probability : function of (n_pairs, n_evidence)
        Gives (n_pairs,).
    min_probability : float

    Returns
    -------
    groups : (n_groups,) int64
        Index of a group that stands for all that are one with it.
    shifts : (n_groups,) int64
        Samples to add to the spikes of each.
    decisions : list of tuple
        Of each pair that was merged, or that might have been: which of both, the probability, the spikes of both and
        the channel of the first.
    """
    pairs, n = Pairs.of(comparable), len(comparable)
    stands_for, shifts, decisions = np.arange(n), np.zeros(n, dtype="int64"), []

    def note(a, b, doubt, decision):
        counts = groups.templates.counts
        decisions.append((decision, 1 - doubt, counts[a], counts[b], groups.main_channel(a)))

    def update(index, others):
        evidence, lag = groups.compare_with(index, others)
        pairs.put(index, others, 1 - probability(evidence), lag)

    for index in range(n):
        others = pairs.others_of(index)
        update(index, others[others < index])
    while True:
        a, b, doubt, move = pairs.surest()
        if not doubt <= 1 - min_probability:
            for rest in pairs.list_doubtful(1 - RULES.min_probability_of_note):
                note(*rest, "kept apart")
            return stands_for, shifts, decisions
        note(a, b, doubt, "merged")
        if groups.templates.counts[a] < groups.templates.counts[b]:
            a, b, move = b, a, -move
        groups.unite(a, b, move)
        unite(stands_for, shifts, a, b, move)
        pairs.remove(b)
        update(a, pairs.others_of(a))


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Doubts of the pairs that may be merged: each group has few near it, so that no table of all pairs is needed.

    Attributes
    ----------
    near : (n_units, most) int64
        Units that each may be merged with; -1 fills up.
    place : (n_units, most) int64
        Where that unit has this one among its own.
    doubt : (n_units, most) float64
        That they are one: 1 - probability; infinite for none, or for one that was merged.
    lag : (n_units, most) int64
    least : (n_units,) float64
        Of each row of `doubt`.
    """

    near: np.ndarray
    place: np.ndarray
    doubt: np.ndarray
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
        return cls(near=near, place=place, doubt=np.full(shape, np.inf), lag=lag, least=least)

    def others_of(self, index):
        """List the units that a unit may still be merged with, (n,) int64."""
        return self.near[index][self.near[index] >= 0]

    def put(self, index, others, doubt, lag):
        """Set the doubts of a group with some of `others_of` it, (n,), and the lags by which those fit it."""
        here = np.flatnonzero(np.isin(self.near[index], others) & (self.near[index] >= 0))
        others, there = self.near[index, here], self.place[index, here]
        self.doubt[index, here], self.lag[index, here] = doubt, lag
        self.doubt[others, there], self.lag[others, there] = doubt, -lag
        changed = np.append(others, index)
        self.least[changed] = self.doubt[changed].min(axis=1)

    def surest(self):
        """Find the pair that is one most surely: two units, the doubt, and the lag by which the second fits."""
        a = self.least.argmin()
        k = self.doubt[a].argmin()
        return a, self.near[a, k], self.doubt[a, k], self.lag[a, k]

    def list_doubtful(self, most):
        """List the pairs of at most so much doubt, the surest first, as (group, other group, doubt)."""
        first, rank = np.nonzero(self.doubt <= most)
        others = self.near[first, rank]
        kept = first < others
        found = zip(first[kept], others[kept], self.doubt[first, rank][kept], strict=True)
        return sorted(found, key=lambda pair: pair[2])

    def remove(self, index):
        """Leave out a unit that was merged."""
        here = np.flatnonzero(self.near[index] >= 0)
        others, there = self.near[index, here], self.place[index, here]
        self.near[others, there] = self.near[index] = -1
        self.doubt[others, there] = self.doubt[index] = np.inf
        self.least[others], self.least[index] = self.doubt[others].min(axis=1), np.inf


def unite(groups, shifts, a, b, lag):
    """Put the group of b into the group of a, in place; `lag` is what to add to b's spikes so that they fit a's."""
    members = groups == groups[b]
    shifts[members] += shifts[a] + lag - shifts[b]
    groups[members] = groups[a]
