"""Stretches without any signal, blanked, held or lost: found, set aside, and said."""

import logging
from dataclasses import dataclass

import numpy as np
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.passes import map_pieces, pieces_of
from huidurep_sorter.traces.periods import (
    as_periods,
    as_runs,
    count_samples_of,
    find_overlapping,
    find_runs,
    merge_runs,
)
from huidurep_sorter.traces.snippets import VALUES_PER_CHUNK

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SilenceRules:
    """What counts as a stretch without a signal."""

    min_constant_ms: float = 2.0  # ms in which no channel changes; a limit: shorter runs are noise of few bits
    margin_ms: float = 2.0  # ms beside it that are set aside as well; a limit: filters ring where it begins
    min_left_s: float = 0.5  # s that must be left; a limit: of less neither noise nor whitening can be estimated


RULES = SilenceRules()


def find_silent_periods(recording, job_kwargs=None):
    """Find stretches in which no channel changes, or a value is missing (NaN or infinite).

    Such are zeros of `silence_periods`, packets that were lost on the way, and samples that were held.

    Parameters
    ----------
    recording : BaseRecording
        Raw; read once, from start to end.
    job_kwargs : dict, optional

    Returns
    -------
    periods : structured array (n_periods,)
        SpikeInterface's `base_period_dtype`, in order, with their margins.

    Raises
    ------
    NothingFound
        If hardly anything else is left.
    """
    size = max(VALUES_PER_CHUNK // recording.get_num_channels(), 2)
    found = map_pieces(
        recording, find_constant_and_missing, pieces_of(recording, size), job_kwargs, name="find silence"
    )
    pieces = [[runs for segment, *runs in found if segment == k] for k in range(recording.get_num_segments())]
    periods = as_periods([as_silent_runs(recording, k, pieces[k]) for k in range(len(pieces))])
    silent_s = count_samples_of(periods) / recording.sampling_frequency
    total_s = recording.get_total_samples() / recording.sampling_frequency
    if len(periods):
        logger.warning(
            "%d stretches without a signal (constant or missing values) are set aside: %.1f s, %.1f %% of all",
            len(periods),
            silent_s,
            100 * silent_s / total_s,
        )
    if total_s - silent_s < RULES.min_left_s:
        raise NothingFound("hardly any stretch has a signal: the others are constant, or values are missing")
    return periods


def find_constant_and_missing(recording, segment_index, start, stop):
    """Find where no channel changes, and where a value is missing, in a piece of a recording.

    Returns
    -------
    segment_index : int
    constant, missing : (n, 2) int64
        First sample, last sample + 1.
    """
    first = max(start - 1, 0)
    traces = recording.get_traces(segment_index=segment_index, start_frame=first, end_frame=stop)
    constant = find_runs((traces[1:] == traces[:-1]).all(axis=1)) + [first, first + 1]  # and the sample before them
    missing = find_runs(~np.isfinite(traces).all(axis=1)) + first if traces.dtype.kind == "f" else constant[:0]
    return segment_index, constant, missing


def as_silent_runs(recording, segment_index, pieces):
    """Put together what pieces of a segment have, with margins, (n, 2) int64: first sample, last sample + 1."""
    fs = recording.sampling_frequency
    long = merge_runs(np.concatenate([constant for constant, _ in pieces]))
    long = long[np.diff(long, axis=1)[:, 0] >= RULES.min_constant_ms * fs / 1000]
    margin = int(RULES.margin_ms * fs / 1000)
    found = merge_runs(np.concatenate([long, *(missing for _, missing in pieces)]) + [-margin, margin])
    return np.clip(found, 0, recording.get_num_samples(segment_index))


class BridgedPeriodsRecording(BasePreprocessor):
    """A recording whose silent periods are straight lines from what is before to what is after, computed when read.

    SpikeInterface's `silence_periods` writes zeros, beside which a slow potential or an offset is a step, which rings
    in a filter as a spike does.

    Parameters
    ----------
    recording : BaseRecording
    periods : structured array (n_periods,)
        As from `find_silent_periods`.
    """

    def __init__(self, recording, periods):
        super().__init__(recording)
        for index, segment in enumerate(recording.segments):
            runs = as_runs(periods[periods["segment_index"] == index])
            self.add_recording_segment(BridgedPeriodsSegment(segment, runs))
        self._kwargs = dict(recording=recording, periods=periods)


class BridgedPeriodsSegment(BasePreprocessorSegment):
    """See `BridgedPeriodsRecording`; runs are (n, 2) int64, the first sample and the last + 1."""

    def __init__(self, parent, runs):
        super().__init__(parent)
        self.runs = runs

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read, and draw a line through each run; at an end of the segment it is level."""
        parent, n_samples = self.parent_recording_segment, self.get_num_samples()
        traces = parent.get_traces(start_frame, end_frame, channel_indices)
        runs = self.runs[find_overlapping(self.runs, start_frame, end_frame)]
        if len(runs):
            traces = traces.copy()
        for start, stop in runs:
            before, after = max(start - 1, 0), min(stop, n_samples - 1)
            edges = [parent.get_traces(at, at + 1, channel_indices).astype("float64") for at in (before, after)]
            if start == 0 or stop == n_samples:
                edges = [edges[0 if start else 1]] * 2
            inside = np.arange(max(start, start_frame), min(stop, end_frame))
            weight = ((inside - before) / max(after - before, 1))[:, None]
            line = edges[0] * (1 - weight) + edges[1] * weight
            line = np.nan_to_num(line, posinf=0, neginf=0)  # where nothing in the segment is finite
            traces[inside - start_frame] = np.round(line) if traces.dtype.kind in "iu" else line
        return traces
