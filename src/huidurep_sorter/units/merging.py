"""Units that are one neuron: similar templates, and a refractory period in common."""

from dataclasses import dataclass

import numpy as np

from huidurep_sorter.spikes.spike_trains import censor, pair_ratio
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.agglomeration import agglomerate, unite_spikes
from huidurep_sorter.templates.split_half import are_near, differences, estimate_split_half


@dataclass(frozen=True, kw_only=True)
class MergeRules:
    """When two units are one neuron.

    Differences are those of templates, over the norm of the larger one. Pair ratios are pairs of spikes within the
    refractory period, over those that chance explains.
    """

    max_difference: float = 0.5  # templates that differ more are of two neurons (units-18, units-35)
    max_difference_without_evidence: float = 0.4  # of few pairs: alike enough, as for clusters (templates-30)
    max_difference_of_alike: float = 0.3  # templates that differ less hardly differ (units-17, units-35)
    max_pair_ratio: float = 0.35  # units of similar templates: more, and they ignore each other (units-28, units-35)
    max_pair_ratio_of_alike: float = 0.6  # units whose templates hardly differ (units-17, units-35)
    min_expected_pairs: float = 6.0  # pairs; fewer can't decide by their ratio (units-28, units-36)
    min_expected_pairs_of_hint: float = 1.0  # pairs; not one of so many seen hints at one neuron (units-28, units-36)
    min_pairs_of_two: float = 2.0  # pairs, as many as chance explains: two neurons, however few spikes (units-54)
    minor_ratio: float = 5.0  # so many times fewer spikes: a minor unit, little is lost by it (units-5, units-36)


RULES = MergeRules()


def merge_units(traces, units, rules=RULES) -> Spikes:
    """Merge units that are one neuron; what it fired at once counts once."""
    templates = estimate_split_half(traces, units)
    allowed = find_mergeable(traces, units, templates, rules)
    return regroup(traces, units, *agglomerate(templates, allowed, rules.max_difference))


def find_mergeable(traces, units, templates, rules=RULES):
    """Decide of each pair of near units whether it is one neuron, (n_units, n_units) bool."""
    n, trains, near = len(templates.counts), units.trains(), are_near(traces, templates)
    mergeable = np.zeros((n, n), dtype=bool)
    for a in range(n):
        others = a + 1 + np.flatnonzero(near[a, a + 1 :])
        difference, _ = differences(templates, a, others)
        for b, differs in zip(others, difference, strict=True):
            if not differs < rules.max_difference:
                continue
            ratio, expected = pair_ratio(trains[a], trains[b], traces.sampling_frequency, traces.n_samples_with_signal)
            counts = templates.counts[[a, b]]
            mergeable[a, b] = mergeable[b, a] = is_one_neuron(
                differs, ratio, expected, counts.min(), counts.max(), rules
            )
    return mergeable


def is_one_neuron(difference, pair_ratio, expected_pairs, n_spikes_of_smaller, n_spikes_of_larger, rules=RULES):
    """Decide whether two near units are one neuron.

    If their templates hardly differ, they are unless their spikes clearly ignore each other. If their templates differ
    more, they are only if a common refractory period shows. If there are too few spikes to show it, it is enough that
    templates hardly differ, that none of some expected pairs is there, or that one unit is minor; but where two or more
    pairs are there, as many as chance explains, they are two.

    Parameters
    ----------
    difference : float
        Of the templates.
    pair_ratio, expected_pairs : float
        As from `spike_trains.pair_ratio`.
    n_spikes_of_smaller, n_spikes_of_larger : int
    rules : MergeRules

    Returns
    -------
    is_one : bool
    """
    if difference >= rules.max_difference:
        return False
    is_alike = difference < rules.max_difference_of_alike
    if expected_pairs >= rules.min_expected_pairs:
        return pair_ratio < (rules.max_pair_ratio_of_alike if is_alike else rules.max_pair_ratio)
    if pair_ratio * expected_pairs >= rules.min_pairs_of_two and pair_ratio >= rules.max_pair_ratio_of_alike:
        return False
    is_minor = rules.minor_ratio * n_spikes_of_smaller < n_spikes_of_larger
    is_hint = expected_pairs >= rules.min_expected_pairs_of_hint and pair_ratio == 0
    return bool(difference < rules.max_difference_without_evidence or is_minor or is_hint)


def regroup(traces, units, groups, shifts) -> Spikes:
    """Make units of groups of units, each moved by its shift; leave out spikes that a group fired at once."""
    united = unite_spikes(units, groups, shifts).compact()
    return censor(united, traces.sampling_frequency).within(traces.n_samples)
