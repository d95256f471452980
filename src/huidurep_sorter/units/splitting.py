"""Units that are two neurons, cut in two.

Merging compares two groups by a few spikes of each, and a neuron may have come to another's on the way. Here a unit is
looked at as a whole: two Gaussians cut its spikes in two, along whichever direction of their features does that best,
and the network that merges is asked whether both parts are one neuron (units-62). Spikes that another unit's overlap
are not looked at: their sums would be a second neuron (units-64).
"""

from dataclasses import dataclass, replace

import numpy as np

from huidurep_sorter.encoder.small_networks import load_networks
from huidurep_sorter.spikes.clustering import RULES as CLUSTERING_RULES
from huidurep_sorter.spikes.clustering import fit_two_gaussians
from huidurep_sorter.spikes.spike_trains import count_presence
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.agglomeration import RULES as AGGLOMERATION_RULES
from huidurep_sorter.templates.agglomeration import as_table
from huidurep_sorter.templates.groups import Groups, describe_groups, lags_on_channels, look_around
from huidurep_sorter.templates.split_half import (
    channels_in_reach,
    estimate_split_half,
    main_channels,
    split_half_window,
)


@dataclass(frozen=True, kw_only=True)
class SplittingRules:
    """How a cut is looked for."""

    max_probability: float = 0.5  # of being one; a limit: what is cut is more probably two
    n_spikes: int = 200  # of a unit, in which a cut is looked for; a limit of time
    min_sure: float = 0.99  # of being one; a unit that is less sure is looked at again (units-64)
    n_spikes_again: int = 2000  # of it; a limit of time
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
    alone : (n_alone,) int64
        Which of them no spike of another unit overlaps.
    shift : int
        Samples from them to where its template is largest on `channel`.
    channel : int
        On which its template has most energy.
    n_spikes : int
        In which a cut is looked for, at most.
    """

    label: int
    index: np.ndarray
    train: np.ndarray
    alone: np.ndarray
    shift: int
    channel: int
    n_spikes: int = RULES.n_spikes

    @property
    def chosen(self):
        """List at most `n_spikes` that stand alone, in rows that are spread over time, (n,) int64."""
        n = len(self.alone)
        if n <= self.n_spikes:
            return self.alone
        starts = np.linspace(0, n - RULES.n_in_a_row, self.n_spikes // RULES.n_in_a_row).round().astype("int64")
        return self.alone[(starts[:, None] + np.arange(RULES.n_in_a_row)).ravel()]

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
    decisions : DataFrame
        A row of `agglomeration.COLUMNS` for each cut, and for each unit that was nearly cut, with the spikes that were
        looked at.
    """
    labels, rows, alone = np.arange(units.n_units), [], ~are_overlapped(traces, units)
    while True:
        n_alone = np.bincount(units.label[alone], minlength=units.n_units)
        labels = labels[n_alone[labels] >= 2 * parameters.min_cluster_size]
        if len(labels) == 0:
            return units, as_table(rows, "units")
        wholes, sides, probability = examine(traces, gather(traces, units, labels, alone), parameters)
        is_mixed = probability < min(RULES.max_probability, parameters.min_merge_probability)
        is_doubtful = probability < 1 - AGGLOMERATION_RULES.min_probability_of_note
        for k in np.flatnonzero(is_doubtful & ~is_mixed):
            rows.append(("kept whole", probability[k], (~sides[k]).sum(), sides[k].sum(), wholes[k].channel))
        mixed = np.flatnonzero(is_mixed)
        chosen, label, labels = [wholes[k] for k in mixed], units.label.copy(), np.zeros(0, dtype="int64")
        seen = see(traces, [whole.train for whole in chosen], chosen, parameters)
        for k, whole, x in zip(mixed, chosen, seen, strict=True):
            second = cut(x, parameters.seed, (whole.chosen, sides[k]))
            if second.all() or not second.any():
                continue
            label[whole.index[second]] = label.max() + 1
            labels = np.append(labels, (whole.label, label.max()))
            rows.append(("split", probability[k], (~second).sum(), second.sum(), whole.channel))
        units = units.relabelled(label)


def examine(traces, wholes, parameters):
    """Cut each unit and ask whether it is one; those that are not surely one again, by more of their spikes.

    Returns
    -------
    wholes : list of Whole
        As they were looked at last.
    sides : list of (n_chosen,) bool
    probability : (n_units,) float64
    """
    sides = cut_in_two(traces, wholes, parameters)
    probability = ask(traces, wholes, sides, parameters)
    doubtful = [k for k in np.flatnonzero(probability < RULES.min_sure) if len(wholes[k].alone) > RULES.n_spikes]
    again = [replace(wholes[k], n_spikes=RULES.n_spikes_again) for k in doubtful]
    sides_again = cut_in_two(traces, again, parameters, [(wholes[k], sides[k]) for k in doubtful])
    probability[doubtful] = ask(traces, again, sides_again, parameters)
    for k, whole, side in zip(doubtful, again, sides_again, strict=True):
        wholes[k], sides[k] = whole, side
    return wholes, sides, probability


def are_overlapped(traces, units):
    """Say which spikes another unit's spike near them overlaps, (n_spikes,) bool: they look like no single neuron's.

    Two overlap if the windows of their templates do (units-69).
    """
    reach, near = sum(split_half_window(traces.sampling_frequency)), channels_in_reach(traces)
    overlapped, order = np.zeros(len(units), dtype=bool), np.argsort(units.sample_index, kind="stable")
    sample, channel, label = (values[order] for values in (units.sample_index, units.channel_index, units.label))
    for step in range(1, len(units)):
        soon = np.flatnonzero(sample[step:] - sample[:-step] <= reach)
        if len(soon) == 0:
            break
        other = (label[soon] != label[soon + step]) & near[channel[soon], channel[soon + step]]
        overlapped[order[soon[other]]] = overlapped[order[soon[other] + step]] = True
    return overlapped


def gather(traces, units, labels, alone):
    """Look up the spikes of some labels, and where their templates are largest: a list of `Whole`."""
    if len(labels) == 0:
        return []
    order = np.lexsort((units.sample_index, units.label))
    first, last = (np.searchsorted(units.label[order], labels, side) for side in ("left", "right"))
    index = [order[start:stop] for start, stop in zip(first, last, strict=True)]
    own = units.take(np.concatenate(index)).relabelled(np.repeat(np.arange(len(labels)), last - first))
    templates = estimate_split_half(traces, own)
    main = main_channels(templates)
    shifts = lags_on_channels(traces, templates, list(enumerate(main)))
    return [
        Whole(
            label=label,
            index=which,
            train=units.sample_index[which],
            alone=np.flatnonzero(alone[which]),
            shift=shift,
            channel=channel,
        )
        for label, which, shift, channel in zip(labels, index, shifts, main, strict=True)
    ]


def see(traces, trains, wholes, parameters):
    """Give the features of trains around the channel of their unit, (n, n_features) each."""
    if len(wholes) == 0:
        return []
    shifts, channels = [whole.shift for whole in wholes], [whole.channel for whole in wholes]
    return look_around(traces, trains, shifts, channels, parameters)


def cut_in_two(traces, wholes, parameters, before=None):
    """Say on which side of its cut the chosen spikes of each unit lie: a list of (n,) bool.

    `before` has of each unit what it was looked at as, and the sides, before: its cut begins with those. By themselves
    two Gaussians may cut a few odd ones off many spikes.
    """
    seen, known = see(traces, [whole.train[whole.chosen] for whole in wholes], wholes, parameters), [None] * len(wholes)
    if before is not None:
        pairs = zip(wholes, before, strict=True)
        known = [(np.searchsorted(new.chosen, old.chosen), side) for new, (old, side) in pairs]
    return [cut(x, parameters.seed, how) for x, how in zip(seen, known, strict=True)]


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
    if len(features) < 2 or not np.ptp(features, axis=0).any():
        return np.zeros(len(features), dtype=bool)
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
    probability = np.ones(len(wholes))
    asked = large_enough(sides, parameters)
    if len(asked):
        evidence = weigh(traces, [wholes[k] for k in asked], [sides[k] for k in asked], parameters)
        probability[asked] = load_networks("same_neuron", parameters.features).probability(evidence)[:, 0]
    return probability


def large_enough(sides, parameters):
    """List the units both of whose parts have enough spikes to be compared."""
    least = parameters.min_cluster_size // 2
    return [k for k, second in enumerate(sides) if min(second.sum(), (~second).sum()) >= least]


def weigh(traces, wholes, sides, parameters):
    """Compare both parts of each unit, at least one: (n_units, n_evidence) float64, as `evidence.EVIDENCE` names it."""
    other_half = np.kron(np.eye(len(wholes), dtype=bool), 1 - np.eye(2)).astype(bool)
    groups, _ = describe_groups(traces, halve(wholes, sides), parameters, among=other_half)
    groups, evidence = replace(groups, are_parts=True), []
    for k, whole in enumerate(wholes):
        first, second = 2 * k, 2 * k + 1
        own, _ = without_gaps(groups, [first, second], whole).compare_with(first, np.array([second]))
        evidence.append(own[0])
    return np.array(evidence)


def without_gaps(groups, halves, whole) -> Groups:
    """Put the trains of both halves of a unit on a clock that stands still between the rows of chosen spikes."""
    if len(whole.chosen) == len(whole.alone):
        return groups
    trains = list(groups.trains)
    for half in halves:
        trains[half], n_samples = whole.without_gaps(groups.trains[half])
    own = [count_presence(Spikes.at(trains[half], 0, 0), groups.sampling_frequency, n_samples)[0] for half in halves]
    presence = np.zeros((len(trains), len(own[0])), dtype="int64")
    presence[halves] = own
    return replace(groups, trains=trains, presence=presence, n_samples=n_samples)
