"""Traces know how long they have a signal."""

from dataclasses import replace

import numpy as np

from huidurep_sorter.traces import traces as traces_module
from huidurep_sorter.traces.noise import invert_spectrum
from huidurep_sorter.traces.periods import SetAside, as_periods
from huidurep_sorter.traces.traces import LearningLimits
from tests.known import FS, on_four_channels


def test_time_stands_still_while_there_is_no_signal():
    filled = as_periods([np.array([[1000, 2000], [5000, 5500]])])
    traces = replace(on_four_channels(np.zeros((10_000, 4))), set_aside=SetAside(reduced=filled[:0], filled=filled))
    assert traces.n_samples == 10_000 and traces.n_samples_with_signal == 8500
    assert traces.duration_s == 8500 / FS
    samples = np.array([0, 999, 2000, 4999, 5500, 9999])
    assert traces.on_clock_of_signal(samples).tolist() == [0, 999, 1000, 3999, 4000, 8499]


def test_all_of_a_short_recording_is_learned_from_and_some_seconds_of_a_long_one(monkeypatch):
    traces, samples = on_four_channels(np.zeros((int(10 * FS), 4))), np.arange(0, int(10 * FS), 1000)
    assert traces.are_learned_from(samples).all()
    monkeypatch.setattr(traces_module, "LIMITS", LearningLimits(channel_seconds=16.0))  # 4 s of 4 channels
    learned = traces.are_learned_from(samples)
    assert set(samples[learned] // int(FS)) == {2, 4, 7, 9}
    assert set(samples[~learned] // int(FS)) == {0, 1, 3, 5, 6, 8}


def test_the_stretches_that_are_learned_from_are_listed(monkeypatch):
    traces = on_four_channels(np.zeros((int(9.5 * FS), 4)))
    runs = traces_module.learned_runs(traces.recording)
    assert np.array_equal(runs[:, 0], FS * np.arange(10)) and runs[-1, 1] == traces.n_samples
    monkeypatch.setattr(traces_module, "LIMITS", LearningLimits(channel_seconds=19.0))  # half of it
    runs = traces_module.learned_runs(traces.recording)
    assert len(runs) == 5 and traces.are_learned_from(runs[:, 0]).all()


def test_frequencies_are_weighed_once_their_noise_is_measured():
    traces = on_four_channels(np.cumsum(np.random.default_rng(0).normal(size=(int(2 * FS), 4)), axis=0))
    np.testing.assert_array_equal(traces.inverse_noise, [1.0])
    measured = traces.with_inverse_noise()
    runs = traces_module.learned_runs(traces.recording)
    np.testing.assert_array_equal(measured.inverse_noise, invert_spectrum(traces.recording, runs))
    assert len(measured.inverse_noise) > 1
