"""Clusters merged by their templates, on templates of known origin."""

from dataclasses import replace

import numpy as np

from huidurep_sorter.templates import agglomeration as merging


def templates(n_clusters=2, noise=0.0, lag=0, scale=1.0, seed=0):
    """(n_clusters, 2, 60, 6): copies of one waveform, the last one moved by `lag` samples and scaled."""
    rng = np.random.default_rng(seed)
    time = np.arange(60)

    def wave(at):
        return -np.exp(-(((time - at) / 3.0) ** 2)) + 0.4 * np.exp(-(((time - at - 9) / 6.0) ** 2))

    space = np.array([0.2, 0.6, 1.0, 0.5, 0.2, 0.1])
    out = np.stack([np.outer(wave(25), space)] * n_clusters)
    out[-1] = scale * np.outer(wave(25 + lag), space)
    out = 10 * out[:, None] + noise * rng.normal(size=(n_clusters, 2, 60, 6))
    return out


def halves(array, counts=None):
    return merging.as_halves(array, np.full(len(array), 100) if counts is None else counts, max_lag=8)


def test_the_lag_between_two_templates_is_found():
    for lag in (-5, 0, 4):
        difference, found = merging.differences(halves(templates(lag=lag)), 0)
        assert difference[1] < 0.05
        assert found[1] == lag  # a later waveform is aligned by moving the spikes later


def test_noise_adds_nothing_to_the_energy_of_a_template():
    array = np.concatenate([templates(noise=1.0, seed=seed)[:1] for seed in range(200)])
    energy = (halves(array).coefficients[:, 0] * halves(array).coefficients[:, 1]).sum(axis=(1, 2))
    clean = (templates()[0, 0] ** 2).sum()
    assert abs(energy.mean() / clean - 1) < 0.02


def test_same_waveforms_are_merged_and_aligned_and_others_are_not():
    array = np.concatenate([templates(lag=3), -templates()[:1]])
    allowed = np.ones((3, 3), dtype=bool)
    groups, shifts = merging.agglomerate(halves(array, np.array([200, 100, 100])), allowed, 0.3)
    assert groups[0] == groups[1] != groups[2]
    labels, moves = merging.relabel(np.array([0, 1, 2, -1]), groups, shifts)
    assert labels[3] == -1 and labels[0] == labels[1] != labels[2]
    assert moves[1] - moves[0] == 3


def agglomerate_slowly(current, allowed, max_difference):
    """As `merging.agglomerate`: everything compared anew with everything before each merge."""
    n = len(current.counts)
    coefficients, counts = current.coefficients.copy(), current.counts.astype(float)
    groups, shifts, left = np.arange(n), np.zeros(n, dtype=int), list(range(n))
    while True:
        whole = replace(current, coefficients=coefficients, counts=counts)
        rows = {a: merging.differences(whole, a) for a in left}
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
        merging.unite(groups, shifts, a, b, lag)
        left.remove(b)


def test_merging_near_clusters_on_their_channels_is_as_merging_slowly():
    rng = np.random.default_rng(0)
    array = np.concatenate([templates(lag=i % 7 - 3, noise=0.2, seed=i)[1:] for i in range(24)])
    place = np.repeat(np.arange(8), 3)
    wide = np.zeros((*array.shape[:3], 16))
    for out, one, first in zip(wide, array, place, strict=True):
        out[:, :, first : first + 6] = one * rng.uniform(0.6, 1.2)
    allowed = np.abs(place[:, None] - place) < 2
    current = halves(wide, rng.integers(20, 200, len(wide)))
    groups, shifts = merging.agglomerate(current, allowed, 0.8)
    slow_groups, slow_shifts = agglomerate_slowly(current, allowed, 0.8)
    assert 2 < len(np.unique(groups)) < 8
    assert np.array_equal(groups, slow_groups) and np.array_equal(shifts, slow_shifts)


def test_what_is_not_allowed_is_not_merged():
    groups, _ = merging.agglomerate(halves(templates()), np.zeros((2, 2), dtype=bool), 0.5)
    assert groups[0] != groups[1]


def test_a_much_smaller_copy_is_another_unit():
    groups, _ = merging.agglomerate(halves(templates(scale=0.4)), np.ones((2, 2), dtype=bool), 0.4)
    assert groups[0] != groups[1]


def test_spikes_of_one_unit_found_early_are_moved_to_the_others():
    from spikeinterface.core import NumpyRecording

    times, labels = 200 + 150 * np.arange(400), np.arange(400) % 2
    traces = 0.1 * np.random.default_rng(0).normal(size=(61_000, 4)).astype("float32")
    traces[times[:, None] + np.arange(-10, 11), 1] -= 10 * np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    recording = NumpyRecording([traces], 30000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(4)]))
    peaks = np.zeros(400, dtype=[("sample_index", "i8")])
    peaks["sample_index"] = times - 4 * labels
    merged, moves = merging.merge_clusters(recording, peaks, labels, 0.4)
    assert merged.max() == 0
    assert np.unique(peaks["sample_index"] + moves - times).size == 1
