"""Isosplit against SpikeInterface's own, which is slow to compile, and its parts on what is known."""

import numpy as np
import pytest
from spikeinterface.sortingcomponents.clustering import isosplit_isocut

from huidurep_sorter.runtime import keep_compiled
from huidurep_sorter.spikes.isosplit import find_dip, fit_rising, fit_unimodal, split_at_dips


def blobs(seed, max_distance=4.0):
    """Points of one to seven Gaussians in 2 to 17 dimensions, on a coarse grid now and then."""
    rng = np.random.default_rng(seed)
    d, n_blobs = rng.integers(2, 18), rng.integers(1, 8)
    centres = rng.normal(size=(n_blobs, d)) * rng.uniform(0, max_distance)
    x = np.concatenate([centre + rng.normal(size=(rng.integers(20, 400), d)) for centre in centres])
    return np.round(x, 1) + 1e-9 * rng.normal(size=x.shape) if seed % 5 == 0 else x


@pytest.mark.filterwarnings("ignore:isosplit")
@pytest.mark.parametrize("threshold", [1.0, 1.5, 2.0])
def test_labels_are_those_of_spikeinterface(threshold):
    keep_compiled(isosplit_isocut)
    n_found = []
    for seed in range(20):
        x, n_init = blobs(seed), 3 + seed
        labels = split_at_dips(x, n_init, 10, threshold, seed)
        theirs = isosplit_isocut.isosplit(x, n_init=n_init, min_cluster_size=10, isocut_threshold=threshold, seed=seed)
        np.testing.assert_array_equal(labels, theirs)
        n_found.append(labels.max() + 1)
    assert min(n_found) <= 3 and max(n_found) > 5


def test_few_points_are_one_cluster():
    x = np.random.default_rng(0).normal(size=(12, 3))
    np.testing.assert_array_equal(split_at_dips(x, 15, 10, 1.5, 0), np.zeros(12))


def test_a_gap_is_a_dip_and_the_cut_lies_in_it():
    rng = np.random.default_rng(0)
    apart = np.sort(np.concatenate([rng.normal(0, 1, 300), rng.normal(8, 1, 300)]))
    dip, cut = find_dip(apart)
    assert dip > 2 and 3 < cut < 5
    together, _ = find_dip(np.sort(rng.normal(0, 1, 600)))
    assert together < 1.5


def test_values_that_rise_and_fall_are_their_own_fit():
    values = np.array([0.0, 1.0, 4.0, 3.0, -1.0])
    np.testing.assert_allclose(fit_unimodal(values), values)
    np.testing.assert_allclose(fit_rising(np.array([1.0, 3.0, 2.0, 4.0]))[0], [1.0, 2.5, 2.5, 4.0])
    assert len(fit_rising(np.zeros(0))[0]) == 0
