"""Periods: put together, cut out, looked up; on one segment or several."""

import numpy as np
from spikeinterface.core import NumpyRecording

from huidurep_sorter.traces import periods


def of(*runs):
    return periods.as_periods([np.array(runs, dtype="int64").reshape(-1, 2)])


def recording_of(*lengths):
    recording = NumpyRecording([np.arange(n, dtype="float32")[:, None] for n in lengths], 1000.0)
    recording.set_dummy_probe_from_locations(np.zeros((1, 2)))
    return recording


def test_periods_that_overlap_or_touch_become_one():
    merged = periods.merge_periods(of((50, 60), (0, 10)), of((5, 20), (20, 30)))
    assert periods.as_runs(merged).tolist() == [[0, 30], [50, 60]]
    assert periods.count_samples_of(merged) == 40
    assert len(periods.merge_periods(of(), of())) == 0


def test_samples_are_looked_up_as_one_by_one():
    some = of((3, 5), (9, 10), (12, 20))
    samples = np.arange(25)
    expected = [any(a <= sample < b for a, b in ((3, 5), (9, 10), (12, 20))) for sample in samples]
    assert periods.are_within(samples, some).tolist() == expected
    assert not periods.are_within(samples, of()).any()


def test_periods_go_to_the_whole_and_back_to_their_segments():
    recording = recording_of(40, 50)
    own = periods.as_periods([np.array([[20, 30]]), np.array([[5, 8], [40, 50]])])
    whole = periods.end_to_end(recording, own)
    assert (whole["segment_index"] == 0).all()
    assert periods.as_runs(whole).tolist() == [[20, 30], [45, 48], [80, 90]]
    assert periods.of_segments(recording, whole).tolist() == own.tolist()
    assert periods.of_segments(recording, of((30, 50))).tolist() == [(0, 30, 40), (1, 0, 10)]


def test_what_is_cut_out_is_gone_and_the_rest_end_to_end():
    left = periods.without_periods(recording_of(100), of((20, 30), (60, 70)))
    assert left.get_num_segments() == 1
    assert left.get_traces()[:, 0].tolist() == [*range(20), *range(30, 60), *range(70, 100)]


def test_of_thousands_of_pieces_some_are_read():
    left = periods.without_periods(recording_of(100_000), of(*((k, k + 10) for k in range(0, 100_000, 50))))
    assert 3000 < left.get_num_samples() <= 4000


def test_stretches_are_spread_from_end_to_end():
    assert periods.as_runs(periods.spread_stretches(100, 10, 4)).tolist() == [[0, 10], [30, 40], [60, 70], [90, 100]]
    assert periods.as_runs(periods.spread_stretches(5, 10, 4)).tolist() == [[0, 5]]
