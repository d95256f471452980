"""The whole path on recordings that are not clean: what it costs, and that what was set aside is said."""

import numpy as np
import pytest
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core import NumpyRecording, NumpySorting

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.pipeline import sort_recording

FS = 30000.0
CONTACTS = np.array([(16.0 * (i % 2), 20.0 * i) for i in range(16)])


def planted(units, seconds, seed=0):
    """White noise of 8 uV and units of one shape: each (depth in um, size in uV, number of spikes or times)."""
    rng = np.random.default_rng(seed)
    traces = rng.normal(0, 8, (int(seconds * FS), len(CONTACTS)))
    t, trains = np.arange(-30, 75) / 30, {}
    for k, (depth, size, times) in enumerate(units):
        width = 0.14 + 0.02 * (k % 4)
        wave = -np.exp(-((t / width) ** 2) / 2) + 0.35 * np.exp(-(((t - 0.55) / (2.2 * width)) ** 2) / 2)
        shape = wave[:, None] * size * np.exp(-np.linalg.norm(CONTACTS - [8, depth], axis=1) / 30)
        times = rng.uniform(0.1, seconds - 0.1, times) if np.isscalar(times) else times
        train = np.sort((times * FS).astype("int64"))
        trains[f"u{k}"] = train = train[np.diff(train, prepend=-1000) > 60]
        for sample in train:
            traces[sample - 30 : sample + 75] += rng.normal(1, 0.05) * shape
    return traces, NumpySorting.from_unit_dict([trains], FS)


def score(traces, truth, folder=None, **params):
    """Accuracy of each unit, and the number of false ones."""
    recording = NumpyRecording([traces.astype("float32")], FS)
    recording.set_dummy_probe_from_locations(CONTACTS)
    found = sort_recording(recording, SortingParameters(**params), folder=folder)
    compared = compare_sorter_to_ground_truth(truth, found, exhaustive_gt=True)
    accuracy = compared.get_performance()["accuracy"].to_numpy(float)
    return accuracy, len(compared.get_false_positive_units())


@pytest.fixture(scope="module")
def six():
    return planted([(20 + 50 * k, 110 + 15 * k, 300) for k in range(6)], 30)


def swings(traces, n=12, seed=1):
    """Movement: slow swings with fast noise on them, on all channels, each with its own gain."""
    rng, traces = np.random.default_rng(seed), traces.copy()
    for _ in range(n):
        start, length = rng.integers(0, len(traces) - 3000), rng.integers(600, 3000)
        swing = np.cumsum(rng.normal(size=length))
        shape = (1500 * swing / np.abs(swing).max() + 200 * rng.normal(size=length)) * np.hanning(length)
        traces[start : start + length] += shape[:, None] * rng.uniform(0.6, 1.4, traces.shape[1])
    return traces


def test_movement_costs_little_and_is_said(six, tmp_path):
    traces, truth = six
    accuracy, n_false = score(swings(traces), truth, tmp_path)
    assert accuracy.min() > 0.85 and accuracy.mean() > 0.93 and n_false == 0
    said = np.load(tmp_path / "artefacts.npy")
    assert 12 <= len(said) <= 40 and (np.diff(said["start_sample_index"]) > 0).all()
    assert 0.005 < (said["end_sample_index"] - said["start_sample_index"]).sum() / len(traces) < 0.06


def test_a_clean_recording_has_no_artefact(six, tmp_path):
    accuracy, n_false = score(*six, tmp_path)
    assert accuracy.min() > 0.95 and n_false == 0
    assert len(np.load(tmp_path / "artefacts.npy")) == 0


def test_stimulation_costs_little(six):
    traces, truth = six
    traces, gain = traces.copy(), np.random.default_rng(2).uniform(0.3, 1.0, traces.shape[1])
    pulse = np.concatenate([np.full(12, 5000.0), np.full(12, -5000.0), -750 * np.exp(-np.arange(576) / 90)])
    for start in range(15_000, len(traces) - 600, 6000):
        traces[start : start + 600] += pulse[:, None] * gain
    accuracy, n_false = score(traces, truth)
    assert accuracy.min() > 0.85 and accuracy.mean() > 0.93 and n_false <= 1


def test_a_converter_whose_range_is_too_small_costs_little(six):
    traces, truth = six
    slow = np.random.default_rng(4).normal(0, 40, (len(traces) // 300 + 2, 16))
    slow = np.stack(
        [np.interp(np.arange(len(traces)), 300 * np.arange(len(slow)), values) for values in slow.T], axis=1
    )
    accuracy, n_false = score(np.clip(np.round((traces + slow) * 5) / 5, -120, 120), truth)
    assert accuracy.min() > 0.85 and accuracy.mean() > 0.93 and n_false <= 1


def test_hum_and_steps_of_the_baseline_cost_little(six):
    traces, truth = six
    rng, traces = np.random.default_rng(3), traces.copy()
    time = np.arange(len(traces)) / FS
    hum = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 21, 2))
    traces += 150 * hum[:, None] * rng.uniform(0.5, 1.5, traces.shape[1])
    for start in rng.integers(0, len(traces) - 60_000, 4):
        traces[start : start + 60_000] += np.exp(-np.arange(60_000) / FS)[:, None] * rng.normal(0, 800, 16)
    accuracy, n_false = score(traces, truth)
    assert accuracy.min() > 0.85 and accuracy.mean() > 0.93 and n_false <= 1


def test_neurons_with_a_dozen_spikes_are_found_beside_others():
    traces, truth = planted([(30, 200, 10), (150, 200, 15), (115, 110, 400), (210, 200, 25), (290, 150, 300)], 60)
    accuracy, n_false = score(traces, truth)
    assert (accuracy > 0.9).all() and n_false == 0


def test_positive_spikes_are_units_at_their_own_peak():
    traces, truth = planted([(20 + 55 * k, (-1) ** k * (110 + 10 * k), 250) for k in range(6)], 30)
    accuracy, n_false = score(traces, truth)
    assert (accuracy > 0.95).all() and n_false == 0


def test_neurons_that_burst_together_are_found_each_by_itself():
    rng, units = np.random.default_rng(5), []
    for k in range(6):
        slots = [rng.choice(60, 10, replace=False) for _ in range(29)]
        times = np.concatenate([2 * burst + 1 + 0.0033 * slot for burst, slot in enumerate(slots)])
        units.append((20 + 35 * k, 110 + 12 * k, times + rng.uniform(0, 0.002, len(times))))
    accuracy, n_false = score(*planted(units, 60))
    assert accuracy.min() > 0.85 and accuracy.mean() > 0.93 and n_false == 0


@pytest.mark.parametrize(("share", "gap_um"), [(0.7, 45), (0.8, 70)])
def test_neurons_that_fire_within_2_ms_of_one_another_are_found_whole(share, gap_um):
    rng = np.random.default_rng(0)
    first = np.sort(rng.uniform(0.1, 39.9, 500))
    near = first[rng.random(500) < share]
    near = near + rng.choice([-1, 1], len(near)) * rng.uniform(0.0002, 0.002, len(near))
    second = np.concatenate([near, rng.uniform(0.1, 39.9, 500 - len(near))])
    units = [(120, 120, first), (120 + gap_um, 100, second), (250, 120, 300)]
    accuracy, n_false = score(*planted(units, 40))
    assert (accuracy > 0.95).all() and n_false == 0
