"""Stretches without any signal, blanked, held or lost: found, set aside, and said."""

import logging
from dataclasses import dataclass

import numpy as np
from spikeinterface.core import append_recordings
from spikeinterface.core.base import base_period_dtype

from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.snippets import VALUES_PER_CHUNK

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SilenceRules:
    """What counts as a stretch without a signal."""

    min_constant_ms: float = 2.0  # ms in which no channel changes; a limit: shorter runs are noise of few bits
    margin_ms: float = 2.0  # ms beside it that are set aside as well; a limit: filters ring where it begins
    min_left_s: float = 0.5  # s that must be left; a limit: of less neither noise nor whitening can be estimated


RULES = SilenceRules()


def find_silent_periods(recording):
    """Find stretches in which no channel changes, or a value is missing (NaN or infinite).

    Such are zeros of `silence_periods`, packets that were lost on the way, and samples that were held.

    Parameters
    ----------
    recording : BaseRecording
        Raw; read once, from start to end.

    Returns
    -------
    periods : structured array (n_periods,)
        SpikeInterface's `base_period_dtype`, in order, with their margins.

    Raises
    ------
    NothingFound
        If hardly anything else is left.
    """
    found = [_silent_in_segment(recording, segment) for segment in range(recording.get_num_segments())]
    periods = np.zeros(sum(map(len, found)), dtype=base_period_dtype)
    periods["segment_index"] = np.repeat(np.arange(len(found)), list(map(len, found)))
    periods["start_sample_index"], periods["end_sample_index"] = np.concatenate(found).T
    silent_s = (periods["end_sample_index"] - periods["start_sample_index"]).sum() / recording.sampling_frequency
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


def end_to_end(recording, periods):
    """Give the periods of a recording as those of its segments end to end."""
    lengths = [recording.get_num_samples(segment) for segment in range(recording.get_num_segments())]
    moved = periods.copy()
    for name in ("start_sample_index", "end_sample_index"):
        moved[name] += np.r_[0, np.cumsum(lengths)[:-1]][periods["segment_index"]]
    moved["segment_index"] = 0
    return moved


def without_periods(recording, periods):
    """Cut the periods out, so that what is left can be measured; segments are its pieces."""
    pieces = []
    for segment in range(recording.get_num_segments()):
        mine = periods[periods["segment_index"] == segment]
        starts = np.r_[0, mine["end_sample_index"]]
        stops = np.r_[mine["start_sample_index"], recording.get_num_samples(segment)]
        whole = recording.select_segments([segment])
        pieces += [whole.frame_slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True) if b > a]
    longest = max(piece.get_num_samples(0) for piece in pieces)
    enough = [piece for piece in pieces if 4 * piece.get_num_samples(0) >= longest]  # short ones are not worth reading
    return append_recordings(enough)


def _silent_in_segment(recording, segment):
    """Find the silent stretches of a segment with their margins, (n, 2) int64: first sample, last sample + 1."""
    n_samples, fs = recording.get_num_samples(segment), recording.sampling_frequency
    size = max(VALUES_PER_CHUNK // recording.get_num_channels(), 2)
    constant, missing = [], []
    for start in range(0, n_samples, size):
        first = max(start - 1, 0)
        traces = recording.get_traces(segment_index=segment, start_frame=first, end_frame=min(start + size, n_samples))
        same = (traces[1:] == traces[:-1]).all(axis=1)
        constant.append(_runs(same) + [first, first + 1])  # a sample that is as the one before it, and that one
        if traces.dtype.kind == "f":
            missing.append(_runs(~np.isfinite(traces).all(axis=1)) + first)
    long = _merge(np.concatenate(constant))
    long = long[np.diff(long, axis=1)[:, 0] >= RULES.min_constant_ms * fs / 1000]
    margin = int(RULES.margin_ms * fs / 1000)
    found = _merge(np.concatenate([long, *missing]) + [-margin, margin])
    return np.clip(found, 0, n_samples)


def _runs(mask):
    """Find the runs of True, (n_runs, 2) int64: first index, last index + 1."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype("int8")))
    return edges.reshape(-1, 2)


def _merge(runs):
    """Merge runs that touch or overlap, in order."""
    if len(runs) == 0:
        return runs.reshape(0, 2)
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    ends = np.maximum.accumulate(runs[:, 1])
    is_first = np.r_[True, runs[1:, 0] > ends[:-1]]
    return np.column_stack([runs[is_first, 0], ends[np.r_[np.flatnonzero(is_first)[1:] - 1, len(runs) - 1]]])
