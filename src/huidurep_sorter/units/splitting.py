"""Units that are two neurons, cut in two.

Merging compares two groups by a few spikes of each, and a neuron may have come to another's on the way. Here a unit is
looked at as a whole: two Gaussians cut its spikes in two, along whichever direction of their features does that best,
and the network that merges is asked whether both parts are one neuron (units-62).
"""

from dataclasses import dataclass, replace

import numpy as np

from huidurep_sorter.encoder.small_networks import load_networks
from huidurep_sorter.spikes.clustering import RULES as CLUSTERING_RULES
from huidurep_sorter.spikes.clustering import fit_two_gaussians
from huidurep_sorter.spikes.spike_trains import count_presence
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.agglomeration import as_table
from huidurep_sorter.templates.groups import Groups, describe_groups, lags_on_channels, look_around
from huidurep_sorter.templates.split_half import estimate_split_half, main_channels


@dataclass(frozen=True, kw_only=True)
class SplittingRules:
    """How a cut is looked for."""

    max_probability: float = 0.5  # of being one; a limit: what is cut is more probably two
    n_spikes: int = 200  # of a unit, in which a cut is looked for; a limit of time
    n_in_a_row: int = 20  # of them, one after another: thinned trains would hide who follows whom (units-62)


RULES = SplittingRules()


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A unit as it is looked at.

    Attributes
    ----------
    label : int
    index : (n_spikes,) int64
        Of its spikes, in the order of time.
    train : (n_spikes,) int64
        Their samples.
    shift : int
        Samples from them to where its template is largest on `channel`.
    channel : int
        On which its template has most energy.
    """

    label: int
    index: np.ndarray
    train: np.ndarray
    shift: int
    channel: int

    @property
    def chosen(self):
        """List at most `n_spikes` of its spikes, in rows that are spread over time, (n,) int64."""
        n = len(self.train)
        if n <= RULES.n_spikes:
            return np.arange(n)
        starts = np.linspace(0, n - RULES.n_in_a_row, RULES.n_spikes // RULES.n_in_a_row).round().astype("int64")
        return (starts[:, None] + np.arange(RULES.n_in_a_row)).ravel()

    def without_gaps(self, samples):
        """Take the time between rows off samples of chosen spikes, and count the samples that are left."""
        rows = self.train[self.chosen].reshape(-1, RULES.n_in_a_row)
        spans = (rows[:, -1] - rows[:, 0]) * RULES.n_in_a_row // (RULES.n_in_a_row - 1) + 1
        row = np.searchsorted(rows[:, 0], samples, "right") - 1
        return samples - rows[row, 0] + (np.cumsum(spans) - spans)[row], spans.sum()


def split_mixtures(traces, units, parameters):
    """Cut units whose two parts are probably not one neuron, until none is left.

    They are cut where they are more probably two than one, and less probably one than what is merged.

    Parameters
    ----------
    traces : Traces
    units : Spikes
    parameters : SortingParameters
        `min_merge_probability`, `min_cluster_size`, `seed`, and `features` and what they take are used.

    Returns
    -------
    units : Spikes
        The second part of a unit that was cut has a new label.
    parts : (n_cuts, 2) int64
        The labels of both parts of each cut, in the order of cuts.
    decisions : DataFrame
        A row of `agglomeration.COLUMNS` for each cut.
    """
    labels, parts, rows = np.arange(units.n_units), [], []
    while True:
        labels = labels[units.counts()[labels] >= 2 * parameters.min_cluster_size]
        if len(labels) == 0:
            return units, np.array(parts, dtype="int64").reshape(-1, 2), as_table(rows, "units")
        wholes = gather(traces, units, labels)
        sides = cut_in_two(traces, wholes, parameters)
        probability = ask(traces, wholes, sides, parameters)
        mixed = np.flatnonzero(probability < min(RULES.max_probability, parameters.min_merge_probability))
        chosen, label, labels = [wholes[k] for k in mixed], units.label.copy(), np.zeros(0, dtype="int64")
        seen = see(traces, [whole.train for whole in chosen], chosen, parameters)
        for k, whole, x in zip(mixed, chosen, seen, strict=True):
            second = cut(x, parameters.seed, (whole.chosen, sides[k]))
            if second.all() or not second.any():
                continue
            label[whole.index[second]] = label.max() + 1
            parts.append((whole.label, label.max()))
            labels = np.append(labels, parts[-1])
            rows.append(("split", probability[k], (~second).sum(), second.sum(), whole.channel))
        units = units.relabelled(label)


def reunite(units, parts, is_neuron):
    """Undo the splits that don't give two neurons: what is left of a neuron belongs to it.

    Parameters
    ----------
    units : Spikes
    parts : (n_cuts, 2) int64
        As from `split_mixtures`.
    is_neuron : (n_units,) bool
        Of each part, whether it would be kept.

    Returns
    -------
    units : Spikes
    stands : (n_cuts,) bool
        Which splits stay.
    """
    place, good, is_cut = np.arange(units.n_units), np.array(is_neuron), np.zeros(units.n_units, dtype=bool)
    stands = np.ones(len(parts), dtype=bool)
    for k in range(len(parts))[::-1]:
        first, second = parts[k]
        both = good[first] and good[second]
        if not both and not is_cut[first] and not is_cut[second]:
            place[place == second], stands[k] = first, False
        is_cut[first] |= stands[k]
        good[first] |= good[second]
    return units.relabelled(place[units.label]).compact(), stands


def gather(traces, units, labels):
    """Look up the spikes of some labels, and where their templates are largest: a list of `Whole`."""
    order = np.lexsort((units.sample_index, units.label))
    first, last = (np.searchsorted(units.label[order], labels, side) for side in ("left", "right"))
    index = [order[start:stop] for start, stop in zip(first, last, strict=True)]
    own = units.take(np.concatenate(index)).relabelled(np.repeat(np.arange(len(labels)), last - first))
    templates = estimate_split_half(traces, own)
    main = main_channels(templates)
    shifts = lags_on_channels(traces, templates, list(enumerate(main)))
    return [
        Whole(label=label, index=which, train=units.sample_index[which], shift=shift, channel=channel)
        for label, which, shift, channel in zip(labels, index, shifts, main, strict=True)
    ]


def see(traces, trains, wholes, parameters):
    """Give the features of trains around the channel of their unit, (n, n_features) each."""
    if len(wholes) == 0:
        return []
    shifts, channels = [whole.shift for whole in wholes], [whole.channel for whole in wholes]
    return look_around(traces, trains, shifts, channels, parameters)


def cut_in_two(traces, wholes, parameters):
    """Say on which side of its cut the chosen spikes of each unit lie: a list of (n,) bool."""
    seen = see(traces, [whole.train[whole.chosen] for whole in wholes], wholes, parameters)
    return [cut(x, parameters.seed) for x in seen]


def cut(features, seed=0, known=None):
    """Cut spikes in two, by two Gaussians on the main components of their features (n, n_features).

    Parameters
    ----------
    features : (n, n_features) float64
    seed : int, default: 0
    known : (index, side), optional
        Some spikes, (k,) int64, whose sides, (k,) bool, are known: the cut starts from their means.

    Returns
    -------
    side : (n,) bool
    """
    x = features - features.mean(axis=0)
    _, vectors = np.linalg.eigh(x.T @ x)
    x, means = x @ vectors[:, ::-1][:, : CLUSTERING_RULES.n_bisection_components], None
    if known is not None:
        index, side = known
        means = np.stack([x[index[~side]].mean(axis=0), x[index[side]].mean(axis=0)])
    return fit_two_gaussians(x, seed, means).predict(x) == 1


def halve(wholes, sides) -> Spikes:
    """Label the chosen spikes of each unit by their side: 2 k and 2 k + 1 of unit k."""
    samples = [whole.train[whole.chosen] for whole in wholes]
    channels = np.repeat([whole.channel for whole in wholes], [len(own) for own in samples])
    labels = np.concatenate([2 * k + second for k, second in enumerate(sides)])
    return Spikes.at(np.concatenate(samples), channels, labels)


def ask(traces, wholes, sides, parameters):
    """Ask how probable it is that both parts of each unit are one neuron, (n_units,); 1 where a part is too small."""
    probability, least = np.ones(len(wholes)), parameters.min_cluster_size // 2
    asked = [k for k, second in enumerate(sides) if min(second.sum(), (~second).sum()) >= least]
    if not asked:
        return probability
    halves = halve([wholes[k] for k in asked], [sides[k] for k in asked])
    other_half = np.kron(np.eye(len(asked), dtype=bool), np.ones((2, 2), dtype=bool))
    groups, comparable = describe_groups(traces, halves, parameters, among=other_half)
    networks = load_networks("same_neuron", parameters.features)
    for rank, k in enumerate(asked):
        first, second = 2 * rank, 2 * rank + 1
        if comparable[first, second]:
            evidence, _ = without_gaps(groups, [first, second], wholes[k]).compare_with(first, np.array([second]))
            probability[k] = networks.probability(evidence)[0, 0]
        else:
            probability[k] = 0.0
    return probability


def without_gaps(groups, halves, whole) -> Groups:
    """Put the trains of both halves of a unit on a clock that stands still between the rows of chosen spikes."""
    if len(whole.chosen) == len(whole.train):
        return groups
    trains = list(groups.trains)
    for half in halves:
        trains[half], n_samples = whole.without_gaps(groups.trains[half])
    own = [count_presence(Spikes.at(trains[half], 0, 0), groups.sampling_frequency, n_samples)[0] for half in halves]
    presence = np.zeros((len(trains), len(own[0])), dtype="int64")
    presence[halves] = own
    return replace(groups, trains=trains, presence=presence, n_samples=n_samples)
