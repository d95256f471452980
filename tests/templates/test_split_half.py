"""Templates from even and odd spikes, and how much two of them differ."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.split_half import (
    are_near,
    average_split_half,
    channels_to_read,
    differences,
    energies,
    estimate_split_half,
    near_main_channel,
)
from huidurep_sorter.traces.traces import LearningLimits
from tests.known import FS, on_four_channels, split_half, traces_of, units, waveforms


@pytest.mark.parametrize("lag", [-5, 0, 4])
def test_the_lag_between_two_templates_is_found(lag):
    difference, found = differences(split_half(waveforms(lag=lag)), 0)
    assert difference[1] < 0.05
    assert found[1] == lag  # a later waveform is aligned by moving the spikes later


def test_the_difference_of_two_sizes_is_that_of_their_norms():
    difference, _ = differences(split_half(waveforms(scale=0.7)), 0)
    assert difference[1] == pytest.approx(0.3, abs=0.01)


def test_noise_adds_nothing_to_the_energy_of_a_template():
    array = np.concatenate([waveforms(noise=1.0, seed=seed)[:1] for seed in range(200)])
    energy = energies(split_half(array).coefficients)
    clean = (waveforms()[0, 0] ** 2).sum()
    assert abs(energy.mean() / clean - 1) < 0.02


def test_even_and_odd_spikes_are_averaged_apart():
    times = 200 + 150 * np.arange(300)
    array = 0.1 * np.random.default_rng(0).normal(size=(46_000, 4))
    array[times[::2], 1] -= 10.0
    array[times[1::2], 1] -= 6.0
    traces = on_four_channels(array)
    templates = estimate_split_half(traces, Spikes.at(times, 1, 0))
    even, odd = (np.linalg.norm(templates.coefficients[0, half]) for half in (0, 1))
    assert even == pytest.approx(10, abs=0.3) and odd == pytest.approx(6, abs=0.3)
    assert templates.norms()[0] == pytest.approx(np.sqrt(60), abs=0.3)


def test_spikes_without_a_label_are_left_out():
    times, labels = 200 + 150 * np.arange(300), np.arange(300) % 3 - 1
    templates = estimate_split_half(on_four_channels(np.zeros((46_000, 4))), Spikes.at(times, 1, labels))
    assert templates.counts.tolist() == [100, 100]


def test_units_of_two_shanks_are_never_near():
    array = np.zeros((2, 2, 60, 4))
    array[0, :, :, 1], array[1, :, :, 2] = -1.0, -1.0
    traces, templates = on_four_channels(np.zeros((1000, 4))), split_half(array)
    assert are_near(traces, templates)[0, 1]
    traces.recording.set_property("group", np.array([0, 0, 1, 1]))
    assert not are_near(traces, templates)[0, 1]


def test_of_a_long_recording_only_some_seconds_are_averaged_but_all_of_a_rare_unit(monkeypatch):
    """Spikes of the first unit are larger in the seconds that aren't learned from, which must not be seen."""
    monkeypatch.setattr("huidurep_sorter.traces.traces.LIMITS", LearningLimits(channel_seconds=16.0))  # 4 of 10 s
    array, train = np.zeros((int(10 * FS), 4)), np.arange(100) * 3000 + 500
    learned = on_four_channels(array).are_learned_from(train)
    array[train, 1] = np.where(learned, -10.0, -30.0)
    traces = on_four_channels(array)
    rare = train[~learned][:6]
    found = average_split_half(traces, units(train, rare))
    assert found[0, 0, :, 1].min() == found[0, 1, :, 1].min() == -10
    assert found[1, 0, :, 1].min() == -30


@pytest.mark.parametrize("known", [True, False])
def test_only_channels_in_reach_are_read_where_those_of_spikes_are_known(known):
    """Twelve contacts 40 um apart: a unit on the first is not looked for on the last."""
    rng, times = np.random.default_rng(0), np.arange(100, 40_000, 300)
    array = rng.normal(size=(41_000, 12)).astype("float32")
    array[times, 0] -= 30
    array[times, 1] -= 15
    recording = NumpyRecording([array], FS)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 40.0 * i] for i in range(12)]))
    traces, spikes = traces_of(recording), Spikes.at(times, 0 if known else -1, 0)
    channels = channels_to_read(traces, spikes)
    assert channels.tolist() == [list(range(5 if known else 12))]
    whole = near_main_channel(traces, average_split_half(traces, spikes), spikes.counts())
    found = estimate_split_half(traces, spikes)
    assert found.coefficients.shape == whole.coefficients.shape
    np.testing.assert_allclose(np.abs(found.coefficients), np.abs(whole.coefficients), atol=1e-3)
    np.testing.assert_allclose(found.norms(), whole.norms(), rtol=1e-5)


def test_some_units_differ_from_one_as_they_do_among_all():
    rng = np.random.default_rng(0)
    array = rng.normal(size=(6, 2, 60, 4))
    array[0, :, :, 2:] = 0.0  # the one is seen on two channels only
    templates, some = split_half(array), np.array([5, 1, 2])
    for ours, of_all in zip(differences(templates, 0, some), differences(templates, 0), strict=True):
        assert ours == pytest.approx(of_all[some])
