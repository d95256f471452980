"""Artefacts: found where they are and nowhere else, reduced, or filled; spikes are left as they are."""

import logging

import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from spikeinterface.core import NumpyRecording

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.traces import artefacts
from huidurep_sorter.traces.periods import as_periods, as_runs, count_samples_of
from huidurep_sorter.traces.preprocessing import prepare

FS = 30000.0
N = 300_000
LINEAR = [(0.0, 25.0 * i) for i in range(16)]
TETRODE = [(0.0, 0.0), (25.0, 0.0), (0.0, 25.0), (25.0, 25.0)]
START, STOP = 150_000, 153_000  # 100 ms, in which something happens


def recording_of(traces, places=LINEAR):
    recording = NumpyRecording([traces.astype("float32")], FS)
    recording.set_dummy_probe_from_locations(np.array(places))
    return recording


def noise(n_channels=16, seed=0):
    return np.random.default_rng(seed).normal(0, 10, (N, n_channels))


def spikes(traces, size=300.0, reach=3, every=300, seed=1):
    """Large spikes on some neighbouring channels, all the time."""
    rng = np.random.default_rng(seed)
    wave = -size * np.exp(-((np.arange(-15, 16) / 4.0) ** 2))
    for time in range(1000, N - 1000, every):
        channel = rng.integers(0, traces.shape[1] - reach + 1)
        traces[time - 15 : time + 16, channel : channel + reach] += wave[:, None]
    return traces


def common(uv, seed=2):
    """What a muscle adds to all channels for 100 ms: noise of 200 to 1000 Hz."""
    wave = np.random.default_rng(seed).normal(size=STOP - START + 3000)
    wave = sosfilt(butter(2, [200, 1000], "bandpass", fs=FS, output="sos"), wave)[3000:]
    return uv * wave / wave.std()


def find(traces, places=LINEAR, level=10.0):
    return artefacts.find_artefacts(recording_of(traces, places), np.full(len(places), level), as_periods([]))


def gains(n_channels=16, kind="alike"):
    rng = np.random.default_rng(3)
    return {
        "alike": rng.uniform(0.7, 1.3, n_channels),
        "gradient": np.linspace(0.4, 1.6, n_channels),
        "of both signs": rng.normal(0, 1.0, n_channels),
    }[kind]


def test_nothing_is_found_in_noise_with_large_spikes():
    assert len(find(spikes(noise())).all()) == 0
    assert len(find(spikes(noise(4), size=600.0, reach=4), TETRODE).all()) == 0


@pytest.mark.parametrize("kind", ["alike", "gradient", "of both signs"])
def test_what_is_common_is_found_and_taken_off(kind):
    plain = noise()
    traces = plain.copy()
    traces[START:STOP] += common(100.0)[:, None] * gains(kind=kind)
    found = find(traces)
    assert len(found.filled) == 0 and len(found.all()) == 1
    start, stop = as_runs(found.all())[0]
    assert abs(start - START) <= 600 and abs(stop - STOP) <= 600
    reduced = artefacts.ReducedArtefactsRecording(recording_of(traces), found.reduced, found.gains).get_traces()
    assert reduced[START:STOP].std() < 1.15 * plain[START:STOP].std()
    np.testing.assert_array_equal(reduced[: START - 600], traces[: START - 600].astype("float32"))


def test_spikes_within_an_artefact_keep_their_size():
    plain = spikes(np.zeros((N, 16)), size=150.0, every=400)
    traces = plain + noise()
    traces[START:STOP] += common(60.0)[:, None] * gains()
    found = find(traces)
    reduced = artefacts.ReducedArtefactsRecording(recording_of(traces), found.reduced, found.gains).get_traces()
    left, true = (reduced - noise())[START:STOP].ravel(), plain[START:STOP].ravel()
    assert 0.9 < left @ true / (true @ true) < 1.1


def test_what_is_not_common_is_filled():
    traces = noise()
    traces[START:STOP] += np.random.default_rng(4).normal(0, 80, (STOP - START, 16))
    found = find(traces)
    start, stop = as_runs(found.filled)[0]
    assert len(found.filled) == 1 and start <= START + 150 and stop >= STOP - 150


def test_neurons_that_burst_together_are_no_artefact():
    """For 100 ms each channel has spikes of its own, 200 a second: loud everywhere, but with nothing in common."""
    rng, traces = np.random.default_rng(5), noise()
    wave = -300 * np.exp(-((np.arange(-15, 16) / 4.0) ** 2))
    for channel in range(16):
        for time in rng.integers(START, STOP, 20):
            traces[time - 15 : time + 16, channel] += wave
    assert len(find(traces).all()) == 0


def test_on_a_tetrode_only_what_no_spike_can_do_is_filled():
    small, large = noise(4), noise(4)
    small[START:STOP] += common(30.0)[:, None]
    large[START:STOP] += common(300.0)[:, None]
    assert len(find(small, TETRODE).all()) == 0
    found = find(large, TETRODE)
    assert len(found.filled) == 1 and len(found.reduced) == 0
    assert 0.9 < count_samples_of(found.filled) / (STOP - START) < 1.4


def test_dense_spikes_on_a_small_probe_are_no_artefact():
    """Large spikes that every channel sees, 150 a second, which overlap now and then."""
    rng, traces = np.random.default_rng(6), noise(4)
    wave = -300 * np.exp(-((np.arange(-60, 61) / 6.0) ** 2))
    for time in rng.integers(1000, N - 1000, 1500):
        traces[time - 60 : time + 61] += wave[:, None]
    assert len(find(traces, TETRODE).all()) == 0


def test_where_spikes_are_dense_an_artefact_must_be_louder():
    quiet, dense = np.ones(100), np.r_[np.ones(90), np.full(10, 3.0)]
    assert artefacts.least_on_small_probe(quiet) == 6.0
    assert artefacts.least_on_small_probe(dense) == 12.0
    assert artefacts.least_on_small_probe(np.r_[dense, np.full(50, np.nan)]) == 12.0


def test_noise_that_changes_slowly_is_no_artefact():
    level = 1 + 1.5 * np.sin(np.pi * np.arange(N) / N) ** 2
    assert len(find(noise() * level[:, None]).all()) == 0


def test_the_same_is_read_in_any_pieces():
    traces = noise()
    traces[START:STOP] += common(60.0)[:, None] * gains()
    found = find(traces)
    recording = artefacts.ReducedArtefactsRecording(recording_of(traces), found.reduced, found.gains)
    whole, cut = recording.get_traces(), START + 1234
    np.testing.assert_array_equal(whole[cut - 500 : cut], recording.get_traces(start_frame=cut - 500, end_frame=cut))
    np.testing.assert_array_equal(whole[cut:], recording.get_traces(start_frame=cut))
    ids = recording.channel_ids[[5, 2]]
    np.testing.assert_array_equal(whole[:, [5, 2]], recording.get_traces(channel_ids=ids))


def test_levels_do_not_depend_on_how_traces_are_read(monkeypatch):
    traces = noise()
    traces[START:STOP] += common(60.0)[:, None]
    whole = find(traces)
    monkeypatch.setattr(artefacts, "VALUES_PER_CHUNK", 16 * 1000)
    again = find(traces)
    np.testing.assert_array_equal(whole.reduced, again.reduced)
    np.testing.assert_array_equal(whole.gains, again.gains)


@pytest.mark.parametrize("remove_artifacts", [True, False])
def test_prepared_traces_have_unit_noise_within_an_artefact(remove_artifacts, caplog):
    traces = noise()
    traces[START:STOP] += common(100.0)[:, None] * gains()
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        prepared, set_aside = prepare(recording_of(traces), SortingParameters(remove_artifacts=remove_artifacts))
    inside, outside = (prepared.get_traces(start_frame=a, end_frame=a + 2400).std() for a in (START + 300, 50_000))
    assert ("1 artefacts are set aside" in caplog.text) == remove_artifacts == (len(set_aside.all()) == 1)
    assert (inside < 1.2 * outside) == remove_artifacts


def test_two_large_spikes_that_reach_far_are_none():
    traces, wave = noise(), -np.exp(-((np.arange(-15, 16) / 4.0) ** 2))
    for time in range(5000, N - 5000, 9000):
        for lag, depth in ((0, 150.0), (60, 250.0)):
            size = 500 / (1 + ((np.array(LINEAR)[:, 1] - depth) / 60) ** 2)
            traces[time + lag - 15 : time + lag + 16] += wave[:, None] * size
    assert len(find(traces).all()) == 0


def test_nothing_in_common_but_the_last_digits_has_no_gain():
    traces = noise() * 1e11 * np.where(np.arange(16) < 10, 1e-18, 1.0)  # huge, and silent on most channels
    gain, share = artefacts.estimate_gain(traces / 1e12)
    assert np.isfinite(gain).all()
    assert share < 0.1


def saturated_pulses(n_pulses=40, limit=2000.0):
    """Pulses of 5 ms with tails of 30 ms, which the amplifier cuts off, on each channel by its own gain."""
    traces, shape = noise(), np.zeros(1050)
    shape[:150], shape[150:] = 1.0, 0.05 * np.exp(-np.arange(900) / 300)
    for start in np.linspace(2000, N - 4000, n_pulses).astype(int):
        traces[start : start + 1050] += 20_000 * shape[:, None] * gains(kind="gradient")
    return np.clip(traces, -limit, limit)


def test_tails_of_saturated_pulses_are_taken_off_and_not_filled():
    """While it saturates all channels are alike, so the gains of the tail are not those of the whole piece."""
    traces = saturated_pulses()
    found = find(traces)
    left = artefacts.ReducedArtefactsRecording(recording_of(traces), found.reduced, found.gains).get_traces()
    kept = np.ones(N, dtype=bool)
    for start, stop in as_runs(found.filled):
        kept[start:stop] = False
    assert np.abs(left[kept]).max() < 80
    assert count_samples_of(found.filled) < 0.7 * count_samples_of(found.all())


def test_what_is_larger_on_one_channel_than_its_spikes_are_is_filled():
    traces = spikes(noise(), every=3000)
    traces[START:STOP] += common(150)[: STOP - START, None] * gains(kind="alike")
    traces[START + 1000 : START + 1020, 7] += 5000
    found = find(traces)
    assert len(found.filled) >= 1 and len(found.reduced) >= 1
    assert any(start <= START + 1000 and START + 1020 <= stop for start, stop in as_runs(found.filled))
    assert count_samples_of(found.filled) < 0.3 * (STOP - START)


def test_artefacts_of_more_than_half_of_the_time_are_found():
    traces, rng = noise(), np.random.default_rng(5)
    loud = (np.arange(N) // 9000) % 5 < 3
    traces += (80 * rng.normal(size=N) * loud)[:, None] * gains(kind="alike")
    assert count_samples_of(find(traces).all()) == pytest.approx(loud.sum(), rel=0.1)


@pytest.mark.parametrize("places", [LINEAR, TETRODE])
def test_pulses_all_the_time_are_no_artefact(places):
    """Of 130 Hz: hardly a bin is without one, and nothing would be left to learn from."""
    traces = noise(len(places))
    for start in range(100, N - 100, 231):
        traces[start : start + 10] += 400.0
    assert count_samples_of(find(traces, places).all()) < 0.5 * N


def test_silence_of_most_channels_has_a_usual_level():
    traces = noise() * (np.arange(N) % 6000 > 2500)[:, None]
    assert count_samples_of(find(traces).all()) == 0
