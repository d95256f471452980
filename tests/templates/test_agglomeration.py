"""Groups of spikes merged while they are probably one neuron, on groups of known origin."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.agglomeration import agglomerate, merge_clusters, unite, unite_spikes
from huidurep_sorter.templates.evidence import EVIDENCE
from tests.known import groups_of, on_four_channels, split_half, waveforms

DIFFERENCE, SEPARATION = EVIDENCE.index("template_difference"), EVIDENCE.index("separation")


def alike(evidence):
    """Be as sure that two groups are one neuron as their templates are alike."""
    return np.clip(1 - evidence[:, DIFFERENCE], 0, 1)


def alike_in_all(evidence):
    """Let what single spikes and trains say count as well, so that nothing of a group may be stale."""
    return np.clip(1 - evidence[:, DIFFERENCE] + 1e-3 * np.tanh(evidence).sum(axis=1), 0, 1)


def test_same_waveforms_are_merged_and_aligned_and_others_are_not():
    array = np.concatenate([waveforms(lag=3), -waveforms()[:1]])
    current = groups_of(split_half(array, np.array([200, 100, 100])))
    groups, shifts, _ = agglomerate(current, np.ones((3, 3), dtype=bool), alike, 0.7)
    assert groups[0] == groups[1] != groups[2]
    united = unite_spikes(Spikes.at(np.zeros(4, int), 0, np.array([0, 1, 2, -1])), groups, shifts)
    assert united.label[3] == -1 and united.label[0] == united.label[1] != united.label[2]
    assert united.shift[1] - united.shift[0] == 3
    np.testing.assert_array_equal(united.sample_index, united.shift)


def agglomerate_slowly(current, comparable, probability, min_probability):
    """As `agglomerate`: everything compared anew with everything before each merge."""
    n = len(comparable)
    groups, shifts, left = np.arange(n), np.zeros(n, dtype=int), list(range(n))
    comparable = comparable.copy()
    while True:
        pairs = []
        for a in left:
            others = [b for b in left if b < a and comparable[a, b]]
            evidence, lags = current.compare_with(a, np.array(others, dtype=int))
            pairs += list(zip(1 - probability(evidence), [a] * len(others), others, lags, strict=True))
        doubt, a, b, lag = min(pairs, default=(np.inf, 0, 0, 0))
        if not doubt <= 1 - min_probability:
            return groups, shifts
        if current.templates.counts[a] < current.templates.counts[b]:
            a, b, lag = b, a, -lag
        current.unite(a, b, lag)
        unite(groups, shifts, a, b, lag)
        left.remove(b)


def test_merging_near_groups_is_as_merging_slowly():
    rng = np.random.default_rng(0)
    array = np.concatenate([waveforms(lag=i % 7 - 3, noise=0.2, seed=i)[1:] for i in range(24)])
    place = np.repeat(np.arange(8), 3)
    wide = np.zeros((*array.shape[:3], 16))
    for out, one, first in zip(wide, array, place, strict=True):
        out[:, :, first : first + 6] = one * rng.uniform(0.6, 1.2)
    comparable = np.abs(place[:, None] - place) < 2
    current = groups_of(split_half(wide, rng.integers(20, 200, len(wide))))
    groups, shifts, _ = agglomerate(deepcopy(current), comparable, alike_in_all, 0.2)
    slow_groups, slow_shifts = agglomerate_slowly(deepcopy(current), comparable, alike_in_all, 0.2)
    assert 2 < len(np.unique(groups)) < 12
    assert np.array_equal(groups, slow_groups) and np.array_equal(shifts, slow_shifts)


def test_what_is_not_comparable_is_not_merged():
    groups, _, _ = agglomerate(groups_of(split_half(waveforms())), np.zeros((2, 2), dtype=bool), alike, 0.5)
    assert groups[0] != groups[1]


def test_a_merge_is_as_sure_as_it_must_be():
    both = np.ones((2, 2), dtype=bool)
    for min_probability, n_groups in ((0.69, 1), (0.71, 2)):
        groups, _, _ = agglomerate(
            groups_of(split_half(waveforms())), both, lambda evidence: np.full(len(evidence), 0.7), min_probability
        )
        assert len(np.unique(groups)) == n_groups


def test_a_group_that_grew_is_compared_anew():
    """The second looks like the first, and the third like both together only."""
    seen = []

    def probability(evidence):
        seen.append(evidence[:, EVIDENCE.index("log_n_spikes_of_larger")])
        return np.where(np.exp(evidence[:, EVIDENCE.index("log_n_spikes_of_larger")]) > 250, 0.9, 0.6)

    current = groups_of(split_half(waveforms(3)), trains=[np.arange(100) * 1000 + k for k in (0, 300, 600)])
    groups, _, _ = agglomerate(current, np.ones((3, 3), dtype=bool), probability, 0.5)
    assert len(np.unique(groups)) == 1
    assert np.exp(np.concatenate(seen)).max() > 199


def noise_with_one_neuron():
    times, labels = 200 + 150 * np.arange(400), np.arange(400) % 2
    array = np.random.default_rng(0).normal(size=(61_000, 4))
    array[times[:, None] + np.arange(-10, 11), 1] -= 15 * np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    return on_four_channels(array), times, labels


def test_spikes_of_one_unit_found_early_are_moved_to_the_others():
    traces, times, labels = noise_with_one_neuron()
    found = Spikes.at(times - 4 * labels, 1, labels)
    for features in ("huidurep", "svd"):
        merged, _ = merge_clusters(traces, found, SortingParameters(features=features, torch_device="cpu"))
        assert merged.n_units == 1
        assert np.unique(merged.sample_index - times).size == 1
        np.testing.assert_array_equal(merged.sample_index - merged.shift, found.sample_index)


def test_at_a_probability_of_one_nothing_is_merged():
    traces, times, labels = noise_with_one_neuron()
    parameters = replace(SortingParameters(), min_merge_probability=1.0)
    merged, decisions = merge_clusters(traces, Spikes.at(times, 1, labels), parameters)
    assert merged.n_units == 2
    assert decisions["decision"].tolist() == ["kept apart"]  # what nearly was one is kept for the report


@pytest.mark.parametrize("label", [0, -1])
def test_one_cluster_or_none_is_left_as_it_is(label):
    alone = Spikes.at(np.arange(5), 0, label)
    merged, decisions = merge_clusters(None, alone, SortingParameters())
    assert merged is alone and len(decisions) == 0
