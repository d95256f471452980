"""A pass over a recording gives the same in one process and in two."""

import numpy as np
from spikeinterface.core import NumpyRecording

from huidurep_sorter.traces import artefacts, passes, silence
from huidurep_sorter.traces.passes import PassLimits, map_pieces, pieces_of

TWO = dict(n_jobs=2, pool_engine="process", progress_bar=False, chunk_duration="1s")


def recording_of(*lengths):
    rng = np.random.default_rng(0)
    recording = NumpyRecording([rng.normal(size=(length, 4)).astype("float32") for length in lengths], 1000.0)
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros(4), 20.0 * np.arange(4)]))
    return recording


def where(recording, segment_index, start, stop):
    return segment_index, start, stop


def test_pieces_come_in_order_and_end_with_their_segment(monkeypatch):
    monkeypatch.setattr(passes, "LIMITS", PassLimits(min_channel_seconds=0.0))
    pieces = [(0, 0, 1000), (0, 1000, 2000), (0, 2000, 2500), (1, 0, 800)]
    for job_kwargs in (None, TWO):
        assert (
            map_pieces(recording_of(2500, 800), where, pieces_of(recording_of(2500, 800), 1000), job_kwargs) == pieces
        )


def test_no_worker_is_started_for_a_short_recording(monkeypatch):
    asked = []
    monkeypatch.setattr(passes, "TimeSeriesChunkExecutor", lambda *_, n_jobs, **__: asked.append(n_jobs) or _Nothing())
    for seconds in (1, 6000):
        recording = NumpyRecording([np.zeros((seconds, 4), dtype="float32")], 1.0)
        map_pieces(recording, where, pieces_of(recording, 1000), TWO)
    assert asked == [1, 2]


class _Nothing:
    def run(self, pieces):
        return []


def test_silence_and_levels_do_not_depend_on_the_workers(monkeypatch):
    monkeypatch.setattr(passes, "LIMITS", PassLimits(min_channel_seconds=0.0))
    for module in (silence, artefacts):
        monkeypatch.setattr(module, "VALUES_PER_CHUNK", 4000)
    recording = recording_of(9500)
    recording.get_traces()[900:1100] = 0.0  # across the end of a piece
    recording.get_traces()[5000, 2] = np.nan
    ours, theirs = (silence.find_silent_periods(recording, kwargs) for kwargs in (None, TWO))
    assert len(ours) == 2 and np.array_equal(ours, theirs)
    levels = [artefacts.measure_levels(recording, np.ones(4), False, kwargs) for kwargs in (None, TWO)]
    assert len(levels[0]) == 1900 and np.array_equal(*levels, equal_nan=True)


def test_of_many_channels_some_are_enough_for_the_levels():
    rng = np.random.default_rng(0)
    traces = rng.normal(size=(20_000, 300)).astype("float32") * np.linspace(1, 1.2, 300, dtype="float32")
    traces[10_000:10_100] *= 6
    recording = NumpyRecording([traces], 1000.0)
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros(300), 20.0 * rng.permutation(300)]))
    some = artefacts.measure_levels(recording, np.ones(300), False)
    every = artefacts.levels_of(traces, artefacts.bin_samples(1000.0), False)
    assert np.abs(some / every - 1).mean() < 0.05
    assert np.array_equal(some > 3, every > 3) and (some > 3).sum() == 20
