"""Peaks found in noise with known spikes."""

import warnings

import numpy as np
import pytest
from spikeinterface.core.node_pipeline import base_peak_dtype

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.spikes import detection
from tests.known import FS, noise_with_spikes, on_four_channels


@pytest.mark.parametrize("method", detection.DETECTORS)
def test_known_spikes_are_found_on_their_channel(method):
    traces, times = noise_with_spikes()
    parameters = SortingParameters(detection_method=method)
    peaks = detection.detect_peaks(traces, parameters)
    at_channel = peaks["sample_index"][peaks["channel_index"] == 2]
    nearest = np.abs(at_channel[:, None] - times[None]).min(axis=0)
    assert (nearest <= 6).mean() > 0.99
    assert len(peaks) < 1.1 * len(times)


def test_noise_alone_gives_no_prototype_and_few_peaks():
    traces, _ = noise_with_spikes(n_spikes=0)
    parameters = SortingParameters(detect_threshold=7.0)
    assert detection.estimate_prototype(traces, parameters) is None
    assert len(detection.detect_peaks(traces, parameters)) == 0


def test_no_peak_at_all_gives_no_prototype_and_no_warning():
    traces, _ = noise_with_spikes(n_spikes=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert detection.estimate_prototype(traces, SortingParameters(detect_threshold=500.0)) is None


def test_spikes_unlike_the_prototype_are_found_all_the_same():
    traces, wide = noise_with_spikes(n_spikes=600)
    array, narrow = traces.recording.get_traces().copy(), 800 + np.arange(60) * 9000
    for time in narrow:
        array[time, 0] -= 8.0
    peaks = detection.detect_peaks(on_four_channels(array), SortingParameters())
    for times, channel in ((wide, 2), (narrow, 0)):
        found = peaks["sample_index"][peaks["channel_index"] == channel]
        assert (np.abs(found[:, None] - times).min(axis=0) <= 6).mean() > 0.9


def test_a_channel_that_is_silent_most_of_the_time_does_no_harm():
    traces, times = noise_with_spikes()
    array = traces.recording.get_traces().copy()
    array[: int(0.9 * len(array)), 0] = 0
    peaks = detection.detect_peaks(on_four_channels(array), SortingParameters())
    found = peaks["sample_index"][peaks["channel_index"] == 2]
    assert (np.abs(found[:, None] - times).min(axis=0) <= 6).mean() > 0.99


def test_only_peaks_that_are_missed_are_added():
    traces, _ = noise_with_spikes(n_spikes=0)
    peaks, others = np.zeros(2, dtype=base_peak_dtype), np.zeros(4, dtype=base_peak_dtype)
    peaks["sample_index"], peaks["channel_index"] = [1000, 5000], [0, 3]
    others["sample_index"], others["channel_index"] = [1030, 1050, 5000, 9000], [0, 0, 0, 1]
    both = detection.add_missed(traces, peaks, others, radius_um=50.0)
    assert sorted(both["sample_index"].tolist()) == [1000, 1050, 5000, 5000, 9000]


def many_peaks(n=3000):
    peaks = np.zeros(n, dtype=base_peak_dtype)
    peaks["sample_index"] = np.linspace(0, 20 * FS - 1, n).astype("int64")
    peaks["channel_index"] = np.arange(n) % 3 % 2
    return peaks


def test_peaks_are_capped_by_channel_inside_the_margin_and_the_same_each_time():
    traces, _ = noise_with_spikes(n_spikes=0)
    parameters = SortingParameters(n_peaks_per_channel=100)
    chosen, again = (detection.select_peaks(traces, many_peaks(), parameters, (30, 60)) for _ in range(2))
    assert np.bincount(chosen.channel_index).tolist() == [100, 100]
    assert (np.diff(chosen.sample_index) > 0).all()
    assert chosen.sample_index.min() >= 30 and chosen.sample_index.max() < 20 * FS - 60
    np.testing.assert_array_equal(chosen.sample_index, again.sample_index)


def test_all_peaks_are_kept_where_there_are_few_and_none_is_said():
    traces, _ = noise_with_spikes(n_spikes=0)
    assert len(detection.select_peaks(traces, many_peaks(100), SortingParameters(), (0, 0))) == 100
    with pytest.raises(NothingFound, match="no peak"):
        detection.select_peaks(traces, many_peaks(0), SortingParameters(), (30, 60))
