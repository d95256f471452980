"""Clusters of points of known origin."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from huidurep_sorter.spikes.clustering import POSITION_UM, cluster_spikes, drop_small, halve, project

METHODS = ("isosplit", "hdbscan", "gmm")


def blobs(n_channels=2, n_units=3, n_spikes=120, separation=1.0, seed=0):
    """Unit-length features of a few units on each channel, positions, peaks, and the truth."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_channels * n_units, 32)) * separation
    truth = np.repeat(np.arange(len(centres)), n_spikes)
    features = centres[truth] + 0.15 * rng.normal(size=(truth.size, 32))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    peaks = np.zeros(truth.size, dtype=[("sample_index", "i8"), ("channel_index", "i8"), ("segment_index", "i8")])
    peaks["channel_index"] = truth // n_units
    positions = np.column_stack([np.zeros(truth.size), 100.0 * peaks["channel_index"]]) + rng.normal(
        size=(truth.size, 2)
    )
    return features.astype("float32"), positions.astype("float32"), peaks, truth


@pytest.mark.parametrize("method", METHODS)
def test_clusters_are_pure_and_lose_few_spikes(method):
    features, positions, peaks, truth = blobs()
    labels = cluster_spikes(features, positions, peaks, method=method)
    clusters = [truth[labels == label] for label in range(labels.max() + 1)]
    assert len({np.bincount(c).argmax() for c in clusters}) == 6  # each unit has a cluster
    assert sum(np.bincount(c).max() for c in clusters) > 0.9 * truth.size


def test_the_mixture_finds_the_number_of_units():
    features, positions, peaks, truth = blobs()
    labels = cluster_spikes(features, positions, peaks, method="gmm")
    assert adjusted_rand_score(truth, labels) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_labels(method):
    features, positions, peaks, _ = blobs()
    first, second = (cluster_spikes(features, positions, peaks, method=method, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_no_cluster_reaches_over_two_channels():
    features, positions, peaks, _ = blobs(separation=0.0)
    labels = cluster_spikes(features, positions, peaks)
    for label in range(labels.max() + 1):
        assert np.unique(peaks["channel_index"][labels == label]).size == 1


def test_a_step_in_position_counts_as_much_as_one_in_features():
    features, positions, _, _ = blobs(n_channels=1)
    positions[:, 1] = np.arange(len(positions)) % 2 * POSITION_UM
    x = project(features, positions)
    assert np.ptp(x[:, -1]) == pytest.approx(np.sqrt((x[:, :-2] ** 2).mean()), rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_spikes_without_any_difference_are_one_cluster(method):
    features, positions, peaks, _ = blobs(n_channels=1, n_units=1)
    features[:], positions[:] = features[0], 0
    assert cluster_spikes(features, positions, peaks, method=method).max() >= 0


def test_one_unit_is_kept_whole_where_no_split_is_found():
    features, positions, peaks, _ = blobs(n_channels=1, n_units=1, n_spikes=300)
    assert (cluster_spikes(features, positions, peaks, method="hdbscan") == 0).all()


def test_few_spikes_are_in_no_cluster():
    features, positions, peaks, _ = blobs(n_channels=1, n_units=1, n_spikes=10)
    assert (cluster_spikes(features, positions, peaks, min_cluster_size=20) == -1).all()


def test_an_unknown_method_is_refused():
    features, positions, peaks, _ = blobs()
    with pytest.raises(ValueError, match="clustering_method"):
        cluster_spikes(features, positions, peaks, method="kmeans")


def test_drop_small_numbers_the_rest_from_zero():
    np.testing.assert_array_equal(drop_small(np.array([5, 5, 2, 7, 7, 7, -1]), 2), [0, 0, -1, 1, 1, 1, -1])


def test_halving_cuts_a_mixture_between_its_units_and_leaves_small_clusters():
    features, positions, _, truth = blobs(n_channels=1, n_units=2, n_spikes=60)
    few = np.full(10, 1)
    labels = halve(np.zeros(120, dtype="int64"), features, positions, 20, seed=0)
    assert adjusted_rand_score(truth, labels) == 1.0
    labels = halve(np.r_[np.zeros(110, dtype="int64"), few], features, positions, 20, seed=0)
    np.testing.assert_array_equal(labels[110:], few)
