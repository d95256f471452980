"""Clusters of points of known origin."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from huidurep_sorter.spikes.clustering import (
    CLUSTERERS,
    RULES,
    bisect_clusters,
    cluster_spikes,
    drop_small,
    project,
    split_islands,
)
from huidurep_sorter.spikes.spikes import Spikes


def blobs(n_channels=2, n_units=3, n_spikes=120, separation=1.0, seed=0):
    """Spikes with unit-length features of a few units on each channel, and the truth."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_channels * n_units, 32)) * separation
    truth = np.repeat(np.arange(len(centres)), n_spikes)
    features = centres[truth] + 0.15 * rng.normal(size=(truth.size, 32))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    channel = truth // n_units
    positions = np.column_stack([np.zeros(truth.size), 100.0 * channel]) + rng.normal(size=(truth.size, 2))
    spikes = Spikes.at(np.arange(truth.size), channel)
    return replace(spikes, features=features.astype("float32"), positions_um=positions.astype("float32")), truth


@pytest.mark.parametrize("method", CLUSTERERS)
def test_clusters_are_pure_and_lose_few_spikes(method):
    spikes, truth = blobs()
    labels = cluster_spikes(spikes, method=method).label
    clusters = [truth[labels == label] for label in range(labels.max() + 1)]
    assert len({np.bincount(c).argmax() for c in clusters}) == 6  # each unit has a cluster
    assert sum(np.bincount(c).max() for c in clusters) > 0.9 * truth.size


def test_the_mixture_finds_the_number_of_units():
    spikes, truth = blobs()
    labels = cluster_spikes(spikes, method="gmm").label
    assert adjusted_rand_score(truth, labels) > 0.9


@pytest.mark.parametrize("method", CLUSTERERS)
def test_same_seed_same_labels(method):
    spikes, _ = blobs()
    first, second = (cluster_spikes(spikes, method=method, seed=3).label for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_no_cluster_reaches_over_two_channels():
    spikes, _ = blobs(separation=0.0)
    labels = cluster_spikes(spikes).label
    for label in range(labels.max() + 1):
        assert np.unique(spikes.channel_index[labels == label]).size == 1


def test_a_step_in_position_counts_as_much_as_one_in_features():
    spikes, _ = blobs(n_channels=1)
    spikes.positions_um[:, 1] = np.arange(len(spikes)) % 2 * RULES.position_um
    x = project(spikes.features, spikes.positions_um)
    assert np.ptp(x[:, -1]) == pytest.approx(np.sqrt((x[:, :-2] ** 2).mean()), rel=0.02)


@pytest.mark.parametrize("method", CLUSTERERS)
def test_spikes_without_any_difference_are_one_cluster(method):
    spikes, _ = blobs(n_channels=1, n_units=1)
    spikes.features[:], spikes.positions_um[:] = spikes.features[0], 0
    assert cluster_spikes(spikes, method=method).n_units >= 1


def test_one_unit_is_kept_whole_where_no_split_is_found():
    spikes, _ = blobs(n_channels=1, n_units=1, n_spikes=300)
    assert (cluster_spikes(spikes, method="hdbscan").label == 0).all()


def test_few_spikes_are_in_no_cluster():
    spikes, _ = blobs(n_channels=1, n_units=1, n_spikes=4)
    assert (cluster_spikes(spikes).label == -1).all()


def test_an_unknown_method_is_refused():
    spikes, _ = blobs()
    with pytest.raises(ValueError, match="clustering_method"):
        cluster_spikes(spikes, method="kmeans")


def test_drop_small_numbers_the_rest_from_zero():
    np.testing.assert_array_equal(drop_small(np.array([5, 5, 2, 7, 7, 7, -1]), 2), [0, 0, -1, 1, 1, 1, -1])


def test_bisecting_cuts_a_mixture_between_its_units_and_leaves_small_clusters():
    spikes, truth = blobs(n_channels=1, n_units=2, n_spikes=60)
    cut = bisect_clusters(spikes.relabelled(np.zeros(120)), 20, seed=0)
    assert adjusted_rand_score(truth, cut.label) == 1.0
    few = np.full(10, 1)
    cut = bisect_clusters(spikes.relabelled(np.r_[np.zeros(110), few]), 20, seed=0)
    np.testing.assert_array_equal(cut.label[110:], few)


def test_a_rare_unit_is_an_island_in_its_cluster():
    rng = np.random.default_rng(0)
    places = ((500, 1.0, 0), (7, 0.6, 9), (4, 0.6, -9))
    features = np.concatenate([spread * rng.normal(size=(size, 8)) + place for size, spread, place in places])
    n = len(features)
    spikes = Spikes.at(np.arange(n), 0, 0)
    spikes = replace(spikes, features=features.astype("float32"), positions_um=np.zeros((n, 2), "float32"))
    labels = split_islands(spikes).label
    assert set(labels[500:507]) == {1}  # seven are a unit
    assert (labels[:500] == 0).all() and (labels[507:] == 0).all()  # four are too few


def test_a_channel_with_few_spikes_has_a_cluster():
    spikes, _ = blobs(n_channels=1, n_units=1, n_spikes=7)
    assert (cluster_spikes(spikes).label == 0).all()
