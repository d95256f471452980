"""Whether motion can be measured, and what is done about it."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording
from spikeinterface.core.node_pipeline import base_peak_dtype

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.traces import motion
from tests.known import traces_of


def recording_on(n_channels=64, pitch_um=15.0, duration_s=10.0, groups=None, n_probes=1):
    from probeinterface import ProbeGroup, generate_linear_probe

    recording = NumpyRecording([np.zeros((int(duration_s * 1000), n_channels), dtype="float32")], 1000.0)
    probes = ProbeGroup()
    for i in range(n_probes):
        probe = generate_linear_probe(n_channels // n_probes, ypitch=pitch_um)
        probe.move([1000.0 * i, 0.0])
        probes.add_probe(probe)
    probes.set_global_device_channel_indices(np.arange(n_channels))
    recording.set_probegroup(probes)
    if groups is not None:
        recording.set_property("group", groups)
    return recording


def on_probe(*args, **kwargs):
    return traces_of(recording_on(*args, **kwargs))


@pytest.mark.parametrize(
    ("recording", "n_peaks", "word"),
    [
        (recording_on(n_probes=2), 1000, "several probes"),
        (recording_on(groups=np.arange(64) // 60), 1000, "few contacts"),
        (recording_on(n_channels=4), 1000, "few contacts"),
        (recording_on(pitch_um=100.0), 1000, "apart"),
        (recording_on(), 10, "few to measure"),
    ],
)
def test_the_obstacle_is_named(recording, n_peaks, word):
    assert word in motion.find_obstacle(traces_of(recording), np.zeros(n_peaks))


def test_a_dense_probe_with_many_spikes_has_no_obstacle():
    assert motion.find_obstacle(on_probe(), np.zeros(1000)) is None
    assert motion.find_obstacle(on_probe(groups=np.arange(64) % 2), np.zeros(1000)) is None  # two shanks
    assert motion.find_obstacle(on_probe(n_channels=16, pitch_um=25.0), np.zeros(1000)) is None


def test_the_extent_is_that_of_the_depth_that_moves_most():
    time = np.linspace(-1, 1, 1001)
    moved = SimpleNamespace(displacement=[np.column_stack([0 * time, 10 * time])])
    assert motion.motion_extent_um(moved) == pytest.approx(18, abs=0.1)


def test_more_peaks_than_are_needed_are_thinned_evenly():
    traces, n = on_probe(), int(2 * 10 * motion.RULES.max_peaks_per_second)
    peaks = np.zeros(n, dtype=base_peak_dtype)
    peaks["sample_index"] = np.linspace(0, 9999, n)
    few, again = (motion.thin_out(traces, peaks, seed=1) for _ in range(2))
    samples = few["sample_index"]
    assert len(few) == n // 2 and np.array_equal(few, again) and (np.diff(samples) >= 0).all()
    assert np.histogram(samples, bins=10, range=(0, 10000))[0] == pytest.approx(n / 20, rel=0.05)
    assert len(motion.thin_out(traces, few)) == n // 2


def test_of_a_long_recording_bins_are_longer_and_one_second_of_each_is_used(monkeypatch):
    monkeypatch.setattr(motion, "RULES", replace(motion.RULES, max_bins=4))
    traces, peaks = on_probe(), np.zeros(500, dtype=base_peak_dtype)
    peaks["sample_index"] = np.linspace(0, 9999, 500)
    assert motion.seconds_of_a_bin(traces) == 3  # of 10 s
    assert set(motion.thin_out(traces, peaks, 3)["sample_index"] // 1000) == {1, 4, 7}


def test_the_prototype_is_learned_from_few_seconds(monkeypatch):
    traces, peaks = on_probe(), np.zeros(500, dtype=base_peak_dtype)
    peaks["sample_index"] = np.linspace(0, 9999, 500)
    assert motion.are_for_prototype(traces, peaks).all()
    monkeypatch.setattr(motion, "RULES", replace(motion.RULES, seconds_of_prototype=3))
    assert set(peaks["sample_index"][motion.are_for_prototype(traces, peaks)] // 1000) == {0, 4, 9}


@pytest.mark.parametrize("bin_s", [1, 4])
def test_the_true_motion_is_measured_in_bins_of_any_length(bin_s):
    rng, n, duration_s = np.random.default_rng(0), 60_000, 240.0
    recording = recording_on(n_channels=64, pitch_um=20.0, duration_s=duration_s)
    peaks, locations = np.zeros(n, dtype=base_peak_dtype), np.zeros(n, dtype=[("x", "f8"), ("y", "f8")])
    times_s = np.sort(rng.uniform(0, duration_s, n))
    peaks["sample_index"], peaks["amplitude"] = times_s * 1000, -20.0
    locations["y"] = rng.choice(rng.uniform(100, 1200, 40), n) + 20 * np.sin(2 * np.pi * times_s / duration_s)
    kept = times_s.astype(int) % bin_s == bin_s // 2
    found = motion.measure_motion(recording, peaks[kept], locations[kept], bin_s)
    error = found.displacement[0] - 20 * np.sin(2 * np.pi * found.temporal_bins_s[0] / duration_s)[:, None]
    assert (error - np.median(error)).std() < 2.0


@pytest.mark.parametrize(
    ("choice", "extent", "same", "corrected"),
    [("auto", 1.0, True, False), ("auto", 20.0, True, True), ("auto", 20.0, False, False), (True, 1.0, False, True)],
)
def test_the_choice_is_made_and_logged(monkeypatch, caplog, choice, extent, same, corrected):
    """`same`: whether two halves of the peaks show the same motion."""
    time = np.linspace(0, 1, 1001)[:, None]
    courses = [extent / 0.9 * time, extent / 0.9 * time, extent / 0.9 * (time if same else time[::-1])]
    found = [SimpleNamespace(displacement=[course]) for course in courses]
    measurements = iter(found)
    monkeypatch.setattr(motion, "locate_peaks", lambda *_: np.zeros(1000))
    monkeypatch.setattr(motion, "measure_motion", lambda *_: next(measurements))
    parameters = SortingParameters(apply_motion_correction=choice)
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        answer = motion.find_motion(on_probe(), np.zeros(1000, dtype=base_peak_dtype), parameters)
    assert (answer is found[0]) == corrected
    assert ("corrected" if corrected else "left alone") in caplog.text


def test_nothing_is_measured_when_switched_off(monkeypatch):
    monkeypatch.setattr(motion, "measure_motion", lambda *_: pytest.fail("measured"))
    assert motion.find_motion(on_probe(), np.zeros(1000), SortingParameters(apply_motion_correction=False)) is None


def test_peaks_are_located():
    recording, rng = recording_on(n_channels=32, pitch_um=20.0), np.random.default_rng(0)
    depth, times = rng.uniform(100, 500, 40), 200 * np.arange(1, 41)
    contacts = recording.get_channel_locations()[:, 1]
    traces = rng.normal(size=(10000, 32)).astype("float32")
    for time, at in zip(times, depth, strict=True):
        in_time = np.exp(-((np.arange(-30, 31) / 6) ** 2))
        traces[time - 30 : time + 31] -= 50 * np.outer(in_time, 1 / (1 + ((contacts - at) / 25) ** 2))
    seen = NumpyRecording([traces], 30000.0)
    seen.set_probe(recording.get_probe())
    peaks = np.zeros(40, dtype=base_peak_dtype)
    peaks["sample_index"], peaks["channel_index"] = times, np.abs(contacts - depth[:, None]).argmin(axis=1)
    assert np.abs(motion.locate_peaks(traces_of(seen), peaks)["y"] - depth).max() < 10
