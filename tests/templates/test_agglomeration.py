"""Clusters merged by their templates, on templates of known origin."""

from dataclasses import replace

import numpy as np

from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.agglomeration import agglomerate, merge_clusters, unite, unite_spikes
from huidurep_sorter.templates.split_half import differences
from tests.known import on_four_channels, split_half, waveforms


def test_same_waveforms_are_merged_and_aligned_and_others_are_not():
    array = np.concatenate([waveforms(lag=3), -waveforms()[:1]])
    allowed = np.ones((3, 3), dtype=bool)
    groups, shifts = agglomerate(split_half(array, np.array([200, 100, 100])), allowed, 0.3)
    assert groups[0] == groups[1] != groups[2]
    united = unite_spikes(Spikes.at(np.zeros(4, int), 0, np.array([0, 1, 2, -1])), groups, shifts)
    assert united.label[3] == -1 and united.label[0] == united.label[1] != united.label[2]
    assert united.shift[1] - united.shift[0] == 3
    np.testing.assert_array_equal(united.sample_index, united.shift)


def agglomerate_slowly(current, allowed, max_difference):
    """As `agglomerate`: everything compared anew with everything before each merge."""
    n = len(current.counts)
    coefficients, counts = current.coefficients.copy(), current.counts.astype(float)
    groups, shifts, left = np.arange(n), np.zeros(n, dtype=int), list(range(n))
    while True:
        whole = replace(current, coefficients=coefficients, counts=counts)
        rows = {a: differences(whole, a) for a in left}
        pairs = [(rows[a][0][b], a, b) for a in left for b in left if a != b and allowed[a, b]]
        difference, a, b = min(pairs, default=(np.inf, 0, 0))
        if difference >= max_difference:
            return groups, shifts
        if counts[a] < counts[b]:
            a, b = b, a
        lag = rows[a][1][b]
        moved = current.shifts[np.flatnonzero(current.lags == lag)[0]] @ coefficients[b]
        coefficients[a] = (counts[a] * coefficients[a] + counts[b] * moved) / (counts[a] + counts[b])
        counts[a] += counts[b]
        unite(groups, shifts, a, b, lag)
        left.remove(b)


def test_merging_near_clusters_on_their_channels_is_as_merging_slowly():
    rng = np.random.default_rng(0)
    array = np.concatenate([waveforms(lag=i % 7 - 3, noise=0.2, seed=i)[1:] for i in range(24)])
    place = np.repeat(np.arange(8), 3)
    wide = np.zeros((*array.shape[:3], 16))
    for out, one, first in zip(wide, array, place, strict=True):
        out[:, :, first : first + 6] = one * rng.uniform(0.6, 1.2)
    allowed = np.abs(place[:, None] - place) < 2
    current = split_half(wide, rng.integers(20, 200, len(wide)))
    groups, shifts = agglomerate(current, allowed, 0.8)
    slow_groups, slow_shifts = agglomerate_slowly(current, allowed, 0.8)
    assert 2 < len(np.unique(groups)) < 8
    assert np.array_equal(groups, slow_groups) and np.array_equal(shifts, slow_shifts)


def test_what_is_not_allowed_is_not_merged():
    groups, _ = agglomerate(split_half(waveforms()), np.zeros((2, 2), dtype=bool), 0.5)
    assert groups[0] != groups[1]


def test_a_much_smaller_copy_is_another_unit():
    groups, _ = agglomerate(split_half(waveforms(scale=0.4)), np.ones((2, 2), dtype=bool), 0.4)
    assert groups[0] != groups[1]


def test_spikes_of_one_unit_found_early_are_moved_to_the_others():
    times, labels = 200 + 150 * np.arange(400), np.arange(400) % 2
    array = 0.1 * np.random.default_rng(0).normal(size=(61_000, 4))
    array[times[:, None] + np.arange(-10, 11), 1] -= 10 * np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    found = Spikes.at(times - 4 * labels, 1, labels)
    merged = merge_clusters(on_four_channels(array), found, 0.4)
    assert merged.n_units == 1
    assert np.unique(merged.sample_index - times).size == 1
    np.testing.assert_array_equal(merged.sample_index - merged.shift, found.sample_index)


def test_one_cluster_is_left_as_it_is():
    alone = Spikes.at(np.arange(5), 0, 0)
    assert merge_clusters(None, alone, 0.4) is alone
