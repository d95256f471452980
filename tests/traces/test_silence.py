"""Stretches without a signal: where they are, and that nothing else notices them."""

import logging

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces import silence
from huidurep_sorter.traces.noise import estimate_noise
from huidurep_sorter.traces.periods import as_periods
from huidurep_sorter.traces.preprocessing import prepare

FS = 30000.0
MARGIN = int(silence.RULES.margin_ms * FS / 1000)


def noise(n_samples=60_000, n_channels=4, seed=0):
    return np.random.default_rng(seed).normal(0, 10, (n_samples, n_channels)).astype("float32")


def recording_of(*segments):
    recording = NumpyRecording(list(segments), FS)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(segments[0].shape[1])]))
    return recording


def found_in(*segments):
    periods = silence.find_silent_periods(recording_of(*segments))
    return [(int(p["segment_index"]), int(p["start_sample_index"]), int(p["end_sample_index"])) for p in periods]


def test_plain_noise_has_none():
    assert found_in(noise(), noise(30_000, seed=1)) == []


@pytest.mark.parametrize("kind", ["zeros", "held", "NaN on one channel", "int16"])
def test_a_silent_stretch_is_found_with_its_margin(kind, caplog):
    traces = noise()
    traces[20_000:21_000] = traces[19_999] if kind == "held" else 0.0
    if kind == "NaN on one channel":
        traces = noise()
        traces[20_000:21_000, 2] = np.nan
    first = 19_999 if kind == "held" else 20_000
    with caplog.at_level(logging.WARNING, logger="huidurep_sorter"):
        found = found_in(traces.astype("int16") if kind == "int16" else traces)
    assert found == [(0, first - MARGIN, 21_000 + MARGIN)]
    assert "1 stretches without a signal" in caplog.text


def test_what_is_short_or_of_one_channel_is_left():
    short, one = noise(), noise()
    short[1000:1030] = 0.0  # 1 ms
    one[10_000:20_000, 1] = 0.0
    assert found_in(short) == [] and found_in(one) == []


def test_a_single_missing_value_is_a_stretch():
    traces = noise()
    traces[30_000, 1] = np.inf
    assert found_in(traces) == [(0, 30_000 - MARGIN, 30_001 + MARGIN)]


def test_stretches_do_not_depend_on_how_traces_are_read(monkeypatch):
    rng, traces = np.random.default_rng(1), noise(200_000)
    for start in np.sort(rng.integers(0, 199_000, 30)):
        traces[start : start + rng.integers(70, 900)] = 0.0
    whole = found_in(noise(), traces)
    monkeypatch.setattr(silence, "VALUES_PER_CHUNK", 4 * 777)
    assert found_in(noise(), traces) == whole and len(whole) > 10


def test_ends_of_segments_are_found_and_clipped():
    traces = noise()
    traces[:500], traces[-500:] = 0.0, 0.0
    assert found_in(traces) == [(0, 0, 500 + MARGIN), (0, 60_000 - 500 - MARGIN, 60_000)]


def test_where_hardly_anything_is_left_there_is_nothing_to_sort():
    traces = noise()
    traces[6_000:] = 0.0
    with pytest.raises(NothingFound, match="signal"):
        silence.find_silent_periods(recording_of(traces))


@pytest.mark.parametrize("fraction", [0.3, 0.8])
def test_noise_and_whitening_are_those_of_the_rest(fraction):
    """Traces that share most of their noise, blanked here and there: prepared, they have unit noise throughout."""
    rng = np.random.default_rng(0)
    traces = (10 * rng.normal(size=(300_000, 1)) + 3 * rng.normal(size=(300_000, 4))).astype("float32")
    plain, _ = prepare(recording_of(traces), SortingParameters())
    blanked = traces.copy()
    for start in range(0, 300_000, 30_000):
        blanked[start + 100 : start + 100 + int(30_000 * fraction)] = 0.0
    blanked[-40:] = np.nan
    prepared, _ = prepare(recording_of(blanked), SortingParameters())
    np.testing.assert_allclose(estimate_noise(prepared, 0), estimate_noise(plain, 0), rtol=0.05)
    filled = prepared.get_traces(start_frame=1000, end_frame=8000)
    assert np.isfinite(prepared.get_traces()).all()
    np.testing.assert_allclose(filled.std(axis=0), estimate_noise(plain, 0), rtol=0.1)
    middle = slice(100 + int(30_000 * fraction) + 300, 29_900)
    np.testing.assert_allclose(prepared.get_traces()[middle], plain.get_traces()[middle], atol=1.0)


def test_the_fill_is_the_same_for_any_chunk():
    traces = noise(90_000)
    traces[20_000:50_000] = 0.0
    prepared, _ = prepare(recording_of(traces), SortingParameters())
    whole, part = prepared.get_traces(), prepared.get_traces(start_frame=30_000, end_frame=40_000)
    np.testing.assert_array_equal(whole[30_000:40_000], part)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_silent_periods_are_straight_lines_in_any_pieces(dtype):
    traces = noise(3000)[:, :2] + 30_000 + 10 * np.arange(3000.0)[:, None]
    traces = traces.astype(dtype)
    runs = np.array([[0, 100], [1000, 1200], [2500, 3000]])
    for start, stop in runs:
        traces[start:stop] = 0
    bridged = silence.BridgedPeriodsRecording(recording_of(traces), as_periods([runs]))
    whole = bridged.get_traces()
    expected = np.interp(np.arange(999, 1201), [999, 1200], traces[[999, 1200], 1].astype("float64"))
    np.testing.assert_allclose(whole[999:1201, 1], expected, atol=1.0)
    assert (whole[:100] == traces[100]).all() and (whole[2500:] == traces[2499]).all()
    assert (whole[100:1000] == traces[100:1000]).all() and whole.dtype == dtype
    pieces = [bridged.get_traces(start_frame=start, end_frame=start + 150) for start in range(0, 3000, 150)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_a_segment_without_any_value_is_bridged_by_zeros():
    missing = np.full((3000, 4), np.nan, dtype="float32")
    bridged = silence.BridgedPeriodsRecording(
        recording_of(noise(3000), missing), as_periods([np.zeros((0, 2), dtype=int), np.array([[0, 3000]])])
    )
    assert (bridged.get_traces(segment_index=1) == 0).all()


@pytest.mark.parametrize("kind", ["zeros", "held"])
def test_what_is_lost_from_a_slow_potential_leaves_no_step(kind):
    slow = 500 * np.sin(2 * np.pi * 3 * np.arange(60_000) / FS)
    traces = noise() + slow[:, None].astype("float32") + 1000
    for start in range(2000, 58_000, 4000):
        traces[start : start + 1000] = 0 if kind == "zeros" else traces[start - 1]
    prepared, _ = prepare(recording_of(traces), SortingParameters())
    assert np.abs(prepared.get_traces()).max() < 6.0
