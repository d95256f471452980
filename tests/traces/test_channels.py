"""Channels that can't be trusted are found, and no others."""

import logging

import numpy as np
import pytest
from probeinterface import generate_linear_probe
from spikeinterface.core import NumpyRecording

from huidurep_sorter.traces.channels import find_popping, leave_out_outside, silence_pops
from huidurep_sorter.traces.periods import spread_stretches

FS = 30000.0
N = 150_000
STRETCHES = spread_stretches(N, N // 5, 5)


def recording_of(traces, pitch_um=20.0, gain=1.0):
    recording = NumpyRecording([traces.astype("float32")], FS)
    probe = generate_linear_probe(traces.shape[1], ypitch=pitch_um)
    probe.set_device_channel_indices(np.arange(traces.shape[1]))
    recording.set_probe(probe)
    if gain is not None:
        recording.set_channel_gains(gain)
        recording.set_channel_offsets(0.0)
    return recording


def noise_with(channel, neighbours, seed=0, n_peaks=100):
    """Unit noise on 8 channels and large peaks on one of them, of which the neighbours see a share."""
    rng = np.random.default_rng(seed)
    traces = rng.normal(size=(N, 8))
    wave = -40 * np.exp(-((np.arange(-15, 16) / 4.0) ** 2))
    for time in rng.integers(100, N - 100, n_peaks):
        traces[time - 15 : time + 16, channel] += wave
        for near in (channel - 1, channel + 1):
            traces[time - 15 : time + 16, near] += neighbours * wave
    return traces


@pytest.mark.parametrize(
    ("neighbours", "pitch_um", "popping"), [(0.0, 20.0, True), (0.25, 20.0, False), (0.0, 60.0, False)]
)
def test_a_channel_whose_peaks_no_neighbour_sees_pops(neighbours, pitch_um, popping, caplog):
    recording = recording_of(noise_with(3, neighbours), pitch_um)
    found = find_popping(recording, np.ones(8), STRETCHES)
    assert np.flatnonzero(found).tolist() == ([3] if popping else [])
    with caplog.at_level(logging.WARNING, logger="huidurep_sorter"):
        silenced = silence_pops(recording, np.ones(8), found)
    assert ("loose" in caplog.text) == popping == (silenced is not recording)
    assert (np.abs(silenced.get_traces()).max() < 9) == popping


def test_one_event_makes_no_channel_pop():
    traces = noise_with(3, 0.0)
    traces[N // 5 :] = np.random.default_rng(1).normal(size=(N - N // 5, 8))
    assert not find_popping(recording_of(traces), np.ones(8), STRETCHES).any()


def test_spikes_on_a_popping_channel_stay():
    traces = noise_with(3, 0.0) + noise_with(3, 0.5, seed=1, n_peaks=30)
    recording = recording_of(traces)
    silenced = silence_pops(recording, np.full(8, np.sqrt(2)), np.arange(8) == 3)
    only_spikes = silenced.get_traces()
    loud = np.abs(only_spikes[:, 3]) > 25
    assert 100 < loud.sum() < 400
    assert (np.abs(only_spikes[loud][:, [2, 4]]) > 5).mean() > 0.9
    part = silenced.get_traces(start_frame=70_000, end_frame=70_500)
    np.testing.assert_array_equal(part, only_spikes[70_000:70_500])


@pytest.mark.parametrize(("gain", "n_channels", "n_left"), [(1.0, 96, 70), (None, 96, 96), (1.0, 48, 48)])
def test_channels_above_the_brain_are_left_out(gain, n_channels, n_left, caplog):
    """Below, channels share most of their noise; above, each has its own."""
    rng = np.random.default_rng(0)
    traces = 5 * rng.normal(size=(N, n_channels))
    traces[:, : int(0.73 * n_channels)] += 10 * rng.normal(size=(N, 1))
    with caplog.at_level(logging.WARNING, logger="huidurep_sorter"):
        left = leave_out_outside(recording_of(traces, gain=gain), seed=0)
    assert abs(left.get_num_channels() - n_left) <= 6
    assert ("outside" in caplog.text) == (n_left < n_channels)


def test_a_pop_that_decays_slowly_leaves_nothing():
    traces, clean = noise_with(3, 0.0, n_peaks=0), noise_with(3, 0.0, n_peaks=0)
    for start in range(3000, N - 3000, 9000):
        traces[start : start + 600, 3] += 300 * np.exp(-np.arange(600) / 60)
    silenced = silence_pops(recording_of(traces), np.ones(8), np.arange(8) == 3).get_traces()
    assert np.abs(silenced[:, 3]).max() < 5.5
    np.testing.assert_array_equal(silenced[:, [2, 4]], clean[:, [2, 4]].astype("float32"))
