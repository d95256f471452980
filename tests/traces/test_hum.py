"""Tones of known amplitude: which are found, what is left of them, and that spikes and artefacts stay as they are."""

import logging

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.traces.hum import find_lines, take_off_hum
from huidurep_sorter.traces.periods import as_periods
from huidurep_sorter.traces.preprocessing import prepare

FS = 20_000.0
N = int(12 * FS)
TIME_S = np.arange(N) / FS
NOTHING = as_periods([])


def recording_of(traces):
    recording = NumpyRecording([traces.astype("float32")], FS)
    recording.set_dummy_probe_from_locations([(0.0, 20.0 * row) for row in range(traces.shape[1])])
    return recording


def noise(seed=0):
    return np.random.default_rng(seed).normal(0, 10, (N, 4))


def hum(*, wander_hz=0.0, harmonics=(3, 5, 7, 21)):
    """60 Hz, whose frequency goes up and down by so much within 10 s, on each channel by its own amount."""
    phase = 2 * np.pi * np.cumsum(60 + wander_hz * np.sin(2 * np.pi * TIME_S / 10)) / FS
    return sum(np.sin(k * phase + k) / np.sqrt(k) for k in harmonics)[:, None] * np.array([10.0, 20.0, -30.0, 60.0])


def left_of(traces, clean, silent=NOTHING):
    """Give the RMS of what is left of the hum, over that of the hum."""
    left = take_off_hum(recording_of(traces), silent).get_traces() - clean
    return left.std() / (traces - clean).std()


def test_lines_are_found_where_they_are():
    np.testing.assert_allclose(find_lines(recording_of(noise() + hum())), [180, 300, 420, 1260], atol=0.1)


def test_hum_of_high_crests_has_no_other_lines_than_its_own():
    phase = 2 * np.pi * 60 * TIME_S
    crests = sum(np.sin(k * phase) for k in range(3, 24, 2))[:, None] * np.array([10.0, 20.0, -30.0, 60.0])
    traces = noise() + crests
    np.testing.assert_allclose(find_lines(recording_of(traces)), 60 * np.arange(3, 24, 2), atol=0.1)
    left = take_off_hum(recording_of(traces), NOTHING).get_traces() - noise()
    assert left.std() < 0.03 * crests.std()


def test_slow_pulses_are_no_hum():
    traces = noise()
    for start in range(0, N - 200, int(FS / 5)):
        traces[start : start + 100] += 300 * np.exp(-np.arange(100) / 20)[:, None]
    assert len(find_lines(recording_of(traces))) == 0
    np.testing.assert_allclose(find_lines(recording_of(traces + hum())), [180, 300, 420, 1260], atol=0.1)


@pytest.mark.parametrize("faint", [0.0, 0.02])
def test_nothing_is_found_in_noise_nor_in_little(faint):
    recording = recording_of(noise() + faint * hum())
    assert take_off_hum(recording, NOTHING) is recording


def test_a_neuron_that_keeps_time_as_none_does_stays_as_it_is():
    traces = noise()
    for start in np.cumsum(np.random.default_rng(1).normal(250, 12, 900)).astype(int):  # 80 a second
        traces[start : start + 20] -= 200 * np.hanning(20)[:, None]
    assert np.abs(take_off_hum(recording_of(traces), NOTHING).get_traces() - traces).max() < 10.0


@pytest.mark.parametrize("wander_hz", [0.0, 0.03])
def test_hardly_anything_is_left_of_hum(wander_hz, caplog):
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        assert left_of(noise() + hum(wander_hz=wander_hz), noise()) < (0.08 if wander_hz else 0.03)
    assert "4 tones are taken off" in caplog.text


def test_artefacts_leave_the_hum_around_them_as_little():
    clean, rng, at = noise(), np.random.default_rng(1), np.arange(600)
    for start, hz in zip(rng.integers(0, N - 600, 29), rng.uniform(100, 600, 29), strict=True):
        clean[start : start + 600] += (3000 * np.hanning(600) * np.sin(2 * np.pi * hz * at / FS))[:, None]
    assert left_of(clean + hum(), clean) < 0.35  # 7 % of the time holds an artefact


def test_silence_stays_and_leaves_the_hum_beside_it_as_little():
    runs = np.array([[start, start + 2000] for start in range(7000, N - 5000, 12_000)])
    clean, humming = noise(), noise() + hum()
    for start, stop in runs:
        clean[start:stop] = humming[start:stop] = 0
    assert left_of(humming, clean, as_periods([runs])) < 0.03
    taken_off = take_off_hum(recording_of(humming), as_periods([runs])).get_traces()
    assert (taken_off[7000:9000] == 0).all()


def test_the_same_is_read_in_any_pieces_and_of_any_channels():
    recording = take_off_hum(recording_of(noise() + hum()), as_periods([np.array([[30_000, 40_000]])]))
    whole = recording.get_traces(start_frame=0, end_frame=60_000)
    pieces = [recording.get_traces(start_frame=start, end_frame=start + 1234) for start in range(0, 60_000, 1234)]
    np.testing.assert_allclose(np.concatenate(pieces)[:60_000], whole, atol=1e-3)
    some = recording.get_traces(start_frame=50, end_frame=9000, channel_ids=recording.channel_ids[[3, 1]])
    np.testing.assert_allclose(some, whole[50:9000][:, [3, 1]], atol=1e-3)


def test_prepared_traces_of_a_tetrode_have_the_noise_of_those_without_hum():
    prepared = [prepare(recording_of(traces), SortingParameters())[0] for traces in (noise() + 5 * hum(), noise())]
    stds = [recording.get_traces().std(axis=0) for recording in prepared]
    np.testing.assert_allclose(*stds, rtol=0.05)
