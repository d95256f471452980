"""Peaks found in noise with known spikes."""

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.spikes import detection

FS = 30000.0


def noise_with_spikes(n_spikes=200, size=15.0, seed=0):
    """20 s of unit noise on 4 channels, with spikes on channel 2; and their times."""
    from probeinterface import generate_linear_probe
    from spikeinterface.core import NumpyRecording

    rng = np.random.default_rng(seed)
    traces = rng.normal(size=(int(20 * FS), 4)).astype("float32")
    times = 500 + np.arange(n_spikes) * int(19 * FS / max(n_spikes, 1))
    wave = -size * np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    for time in times:
        traces[time - 10 : time + 11, 2] += wave
    recording = NumpyRecording([traces], FS)
    probe = generate_linear_probe(4, ypitch=100)
    probe.set_device_channel_indices(np.arange(4))
    recording.set_probe(probe)
    return recording, times


@pytest.mark.parametrize("method", ["matched_filtering", "locally_exclusive"])
def test_known_spikes_are_found_on_their_channel(method):
    recording, times = noise_with_spikes()
    parameters = SortingParameters(detection_method=method)
    peaks = detection.find_peaks(recording, np.ones(4), parameters)
    at_channel = peaks["sample_index"][peaks["channel_index"] == 2]
    nearest = np.abs(at_channel[:, None] - times[None]).min(axis=0)
    assert (nearest <= 6).mean() > 0.99
    assert len(peaks) < 1.1 * len(times)


def test_noise_alone_gives_no_prototype_and_few_peaks():
    recording, _ = noise_with_spikes(n_spikes=0)
    parameters = SortingParameters(detect_threshold=7.0)
    assert detection.estimate_prototype(recording, np.ones(4), parameters) is None
    assert len(detection.find_peaks(recording, np.ones(4), parameters)) == 0


def test_peaks_are_capped_by_channel_inside_the_margin_and_the_same_each_time():
    recording, _ = noise_with_spikes(n_spikes=0)
    peaks = np.zeros(3000, dtype=[("sample_index", "i8"), ("channel_index", "i8"), ("segment_index", "i8")])
    peaks["sample_index"] = np.linspace(0, 20 * FS - 1, 3000).astype("int64")
    peaks["channel_index"] = np.arange(3000) % 3 % 2
    parameters = SortingParameters(n_peaks_per_channel=100)
    chosen = detection.choose_peaks(recording, peaks, parameters, (30, 60))
    assert np.bincount(peaks["channel_index"][chosen]).tolist() == [100, 100]
    assert (np.diff(chosen) > 0).all()
    assert peaks["sample_index"][chosen].min() >= 30
    np.testing.assert_array_equal(chosen, detection.choose_peaks(recording, peaks, parameters, (30, 60)))
