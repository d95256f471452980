"""Features and positions of spikes of known origin."""

import warnings

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording
from spikeinterface.preprocessing import silence_periods

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.spikes.features import FEATURES, encoder_features, extract_features, locate_spikes
from huidurep_sorter.spikes.spikes import Spikes
from tests.known import noise_with_spikes, traces_of


@pytest.fixture(scope="module")
def spiking():
    """Traces with spikes on channel 2, and as many moments of noise."""
    traces, times = noise_with_spikes()
    moments = np.sort(np.concatenate([times, times + 1000]))
    return traces, Spikes.at(moments, 2), np.isin(moments, times)


@pytest.mark.parametrize("features", FEATURES)
def test_features_tell_spikes_from_noise(spiking, features):
    traces, spikes, is_spike = spiking
    found = extract_features(traces, spikes, SortingParameters(features=features)).features
    assert found.shape[0] == len(spikes) and found.dtype == np.float32 and np.isfinite(found).all()
    centres = np.stack([found[is_spike].mean(axis=0), found[~is_spike].mean(axis=0)])
    nearest = np.linalg.norm(found[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == np.where(is_spike, 0, 1)).mean() > 0.95


def test_a_spike_of_one_channel_is_located_there(spiking):
    traces, spikes, is_spike = spiking
    located = locate_spikes(traces, spikes).positions_um
    np.testing.assert_allclose(located[is_spike], np.tile(traces.locations_um[2], (is_spike.sum(), 1)), atol=5.0)
    assert np.isfinite(located).all()


def test_a_spike_in_silenced_traces_is_located_at_its_contact(spiking):
    traces = traces_of(silence_periods(spiking[0].recording, list_periods=[[(1000, 2000)]], mode="zeros"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        located = locate_spikes(traces, Spikes.at([500, 1500], [2, 3]))
    assert located.positions_um[1].tolist() == traces.locations_um[3].tolist()


def test_svd_of_one_spike_is_finite_and_causes_no_warning(spiking):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = extract_features(spiking[0], Spikes.at([500], [2]), SortingParameters(features="svd")).features
    assert np.isfinite(found).all()


def test_svd_without_a_spike_to_learn_from_finds_nothing():
    traces = np.ones((30_000, 4), dtype="float32")
    traces[::2] = -1
    recording = NumpyRecording([traces], 30000.0)
    recording.set_dummy_probe_from_locations([(0.0, 20.0 * row) for row in range(4)])
    peaks = Spikes.at([501], [2])  # each sample is as large as any: the first is the largest
    with pytest.raises(NothingFound, match="none to learn from"):
        extract_features(traces_of(recording), peaks, SortingParameters(features="svd"))


def test_svd_stands_beside_the_embedding_on_small_shanks_only(spiking):
    traces, spikes, _ = spiking
    found = extract_features(traces, spikes, SortingParameters()).features
    embedding = encoder_features(traces, spikes, SortingParameters())
    np.testing.assert_array_equal(found[:, :32], embedding)
    assert found.shape[1] > 32
    spreads = [np.sqrt(part.var(axis=0).sum()) for part in (found[:, :32], found[:, 32:])]
    assert spreads[0] == pytest.approx(spreads[1], rel=1e-3)

    array = np.tile(traces.recording.get_traces(), (1, 4))
    recording = NumpyRecording([array[:, :15]], 30000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(15)]))
    recording.set_channel_groups([0] * 12 + [1] * 3)
    mixed = Spikes.at(spikes.sample_index, np.where(np.arange(len(spikes)) % 2, 2, 14))
    found = extract_features(traces_of(recording), mixed, SortingParameters()).features
    assert (found[1::2, 32:] == 0).all() and np.ptp(found[::2, 32:]) > 0


def test_where_svd_has_nothing_to_learn_from_the_embedding_does():
    traces = np.ones((30_000, 4), dtype="float32")
    traces[::2] = -1
    recording = NumpyRecording([traces], 30000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(4)]))
    found = extract_features(traces_of(recording), Spikes.at([1501, 3001], [2, 2]), SortingParameters()).features
    assert found.shape == (2, 32)
