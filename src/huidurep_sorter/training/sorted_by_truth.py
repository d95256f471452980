"""Recordings sorted by the truth: the groups of spikes that the sorter makes of simulated ones, and whose they are."""

import numpy as np

from huidurep_sorter.spikes.clustering import find_clusters
from huidurep_sorter.spikes.detection import detect_peaks, select_peaks
from huidurep_sorter.spikes.features import extract_features, locate_spikes
from huidurep_sorter.spikes.spike_trains import censor
from huidurep_sorter.templates.agglomeration import unite_spikes
from huidurep_sorter.templates.collisions import without_collisions
from huidurep_sorter.templates.estimation import make_templates
from huidurep_sorter.templates.groups import are_comparable
from huidurep_sorter.templates.matching import match_templates
from huidurep_sorter.templates.refinement import refine_templates
from huidurep_sorter.templates.split_half import differences, estimate_split_half
from huidurep_sorter.templates.waveforms import window_samples
from huidurep_sorter.units.curation import remove_duplicates

STAGES = ("clusters", "some merged", "most merged", "units", "merged units", "mixed units")
SHARES_MERGED = (0.5, 0.9)  # of the clusters of a neuron, about, at the two stages in between
SHARE_OF_UNITS = 0.95  # of the matched units of a neuron, about; the sorter itself leaves few apart
MIXED_UNITS = 0.15  # of the matched units, that are merged with another neuron's: what a mixture is must be learned
MIXED_FOR_CUTS = 0.5  # of them, that are merged with another neuron's where it is learned which units to cut
MATCH_S = 0.0006  # s between a spike of a group and one that was simulated, at most, to be the same


def sort_by_truth(traces, known, parameters, wrongly, rng):
    """Yield groups of spikes at each of `STAGES`; in between some are merged, by the truth and at random.

    Parameters
    ----------
    traces : Traces
    known : structured array
        Spikes that were simulated: `sample_index`, ascending, and `unit_index`.
    parameters : SortingParameters
    wrongly : float
        Probability that a group is merged with another neuron's.
    rng : numpy Generator

    Yields
    ------
    groups : Spikes
        Labels 0 to n_groups - 1, -1 for none; those of clusters with features and positions.
    """
    peaks = detect_peaks(traces, parameters)
    spikes = select_peaks(traces, peaks, parameters, margin=window_samples(traces, parameters))
    spikes = locate_spikes(traces, extract_features(traces, spikes, parameters))
    clusters = find_clusters(spikes, parameters)
    yield clusters.compact()
    for share in SHARES_MERGED:
        share_here = rng.uniform(share - 0.3, min(share + 0.3, 1.0))
        clusters = merge_by_truth(traces, clusters.compact(), known, share_here, wrongly, rng)
        yield clusters.compact()
    templates, clusters = make_templates(traces, clusters, parameters)
    templates = without_collisions(traces, templates, clusters)
    traces = traces.with_inverse_noise()
    templates = refine_templates(traces, templates, clusters, parameters)
    units, _ = remove_duplicates(traces, match_templates(traces, templates, parameters))
    yield units
    for mixed in (MIXED_UNITS, MIXED_FOR_CUTS):
        merged = merge_by_truth(traces, units, known, SHARE_OF_UNITS, mixed, rng).compact()
        yield censor(merged, traces.sampling_frequency).within(traces.n_samples)


def merge_by_truth(traces, spikes, known, share, wrongly, rng):
    """Merge a share of the groups of each neuron, and a few groups with one that is alike but another neuron."""
    templates = estimate_split_half(traces, spikes)
    comparable = are_comparable(traces, templates)
    owner, _ = find_owners(spikes, known, traces.sampling_frequency)
    stands_for, shifts = np.arange(len(owner)), np.zeros(len(owner), dtype="int64")
    for group in np.argsort(-templates.counts, kind="stable"):
        is_own = owner == owner[group]
        wanted = is_own if rng.random() >= wrongly else ~is_own
        free = np.flatnonzero(comparable[group] & wanted & (stands_for == np.arange(len(owner))))
        if len(free) == 0 or stands_for[group] != group or (stands_for == group).sum() > 1:
            continue
        chosen = free[rng.random(len(free)) < share] if wanted is is_own else rng.choice(free, 1)
        chosen = np.array([other for other in chosen if (stands_for == other).sum() == 1], dtype="int64")
        if len(chosen):
            _, lag = differences(templates, group, chosen)
            stands_for[chosen], shifts[chosen] = group, lag
    return unite_spikes(spikes, stands_for, shifts)


def find_owners(spikes, known, sampling_frequency):
    """Find the neuron that most spikes of each group are of, and how many.

    Parameters
    ----------
    spikes : Spikes
    known : structured array
        `sample_index`, ascending, and `unit_index`.
    sampling_frequency : float

    Returns
    -------
    owner : (n_groups,) int64
    purity : (n_groups,) float64
        0 to 1.
    """
    reach = int(MATCH_S * sampling_frequency)
    first = np.searchsorted(known["sample_index"], spikes.sample_index - reach)
    last = np.searchsorted(known["sample_index"], spikes.sample_index + reach + 1)
    seen = np.zeros((spikes.n_units, known["unit_index"].max() + 1), dtype="int64")
    for step in range((last - first).max(initial=0)):
        near = np.flatnonzero(first + step < last)
        np.add.at(seen, (spikes.label[near], known["unit_index"][first[near] + step]), 1)
    return seen.argmax(axis=1), seen.max(axis=1) / np.maximum(spikes.counts(), 1)
