"""What a converter cuts off: its limits are found, the samples are interpolated, and nothing else is changed."""

import logging

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline
from spikeinterface.core import NumpyRecording

from huidurep_sorter.traces import clipping
from huidurep_sorter.traces.clipping import RULES, find_limits, interpolate_clipped

FS, N, LIMIT = 30000.0, 90_000, 600


def traces_of(sign=-1, seed=0):
    """Spikes of one size on a slow potential, on the first of four channels, in units of the converter."""
    rng = np.random.default_rng(seed)
    slow = 300 * np.sin(np.arange(N) / 4000)[:, None] + np.zeros(4)
    traces = slow + rng.normal(0, 10, (N, 4))
    for time in range(500, N - 500, 700):
        traces[time - 40 : time + 41, 0] += sign * 1000 * np.exp(-((np.arange(-40, 41) / 8.0) ** 2))
    return traces


def recording_of(*segments, dtype="int16"):
    return NumpyRecording([np.round(traces).astype(dtype) for traces in segments], FS)


@pytest.mark.parametrize("sign", [-1, 1])
def test_limits_are_found_where_they_are(sign, caplog):
    traces = traces_of(sign)
    lowest, highest, *_ = find_limits(recording_of(np.clip(traces, -LIMIT, LIMIT)))
    assert (lowest[0], highest[0]) == ((-LIMIT, np.inf) if sign < 0 else (-np.inf, LIMIT))
    assert np.isinf([lowest[1:], highest[1:]]).all()
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        interpolate_clipped(recording_of(np.clip(traces, -LIMIT, LIMIT)))
    assert "1 channels reach the limits" in caplog.text


def few_bits():
    return np.random.default_rng(0).normal(size=(N, 2)).round().clip(-1, 1)


def held():
    traces = np.random.default_rng(0).normal(0, 10, (N, 2))
    for start in range(1000, N, 9000):
        traces[start : start + 300] = -600  # 10 ms: no spike
    return traces


@pytest.mark.parametrize("traces", [traces_of(), few_bits(), np.zeros((N, 2)), held()])
def test_where_nothing_is_cut_off_the_recording_stays_as_it_is(traces):
    recording = recording_of(traces)
    assert interpolate_clipped(recording) is recording


@pytest.mark.parametrize("sign", [-1, 1])
def test_spikes_are_nearer_to_what_they_were_and_the_rest_is_the_same(sign):
    traces = traces_of(sign)
    clipped = np.clip(traces, -LIMIT, LIMIT)
    restored = interpolate_clipped(recording_of(clipped)).get_traces()
    is_cut = np.abs(traces) > LIMIT
    np.testing.assert_array_equal(restored[~is_cut], np.round(clipped)[~is_cut])
    error, error_of_clipped = (np.sqrt(((array - traces)[is_cut] ** 2).mean()) for array in (restored, clipped))
    assert error < 0.65 * error_of_clipped


def test_pieces_are_as_the_whole_and_segments_are_read_apart():
    segments = [np.clip(traces_of(seed=seed), -LIMIT, LIMIT) for seed in (1, 2)]
    recording = interpolate_clipped(recording_of(*segments))
    for segment in (0, 1):
        whole = recording.get_traces(segment_index=segment)
        pieces = [recording.get_traces(segment, start, min(start + 47, N)) for start in range(0, N, 47)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_array_equal(
        recording.get_traces(segment_index=1, channel_ids=recording.channel_ids[1:]), whole[:, 1:]
    )


def test_what_is_too_long_for_a_spike_is_left_as_it_is():
    traces = np.clip(traces_of(), -LIMIT, LIMIT)
    n_max = clipping.max_samples(recording_of(traces))
    traces[40_000 : 40_000 + n_max + 1, 0] = -LIMIT
    restored = interpolate_clipped(recording_of(traces)).get_traces()
    assert (restored[40_000 : 40_000 + n_max + 1, 0] == -LIMIT).all()
    assert n_max == RULES.max_ms * FS / 1000


def test_a_flat_flank_is_not_continued():
    values = np.full(40, 5.0)
    values[10:20] = 8.0
    clipping.interpolate_over(values, 8.0, 11.0, n_max=30, noise=2.0)
    assert (values[10:20] == 8.0).all()


def test_a_steep_flank_leads_no_farther_than_it_may():
    values = np.concatenate([np.linspace(0, 7, 4), np.full(30, 8.0), np.linspace(7, 0, 4)])
    clipping.interpolate_over(values, 8.0, 11.0, n_max=30, noise=0.0)
    assert values.max() == 11.0


def test_runs_are_interpolated_as_by_a_spline_for_each():
    values = np.clip(traces_of(1)[:3000, 0], -np.inf, 600.0)
    found, noise = values.copy(), 2.0
    clipping.interpolate_over(found, 600.0, 1200.0, n_max=60, noise=noise)
    edges = np.flatnonzero(np.diff(np.r_[False, values >= 600.0, False].astype(int))).reshape(-1, 2)
    expected = values.copy()
    for start, stop in edges:
        rise = max((values[start - 1] - values[start - 3]) / 2 - noise, 0)
        fall = max((values[stop] - values[stop + 2]) / 2 - noise, 0)
        spline = CubicHermiteSpline([start - 1, stop], values[[start - 1, stop]], [rise, -fall])
        expected[start:stop] = np.clip(spline(np.arange(start, stop)), 600.0, 1200.0)
    assert len(edges) >= 3 and (expected > 610.0).any()
    np.testing.assert_allclose(found, expected)
