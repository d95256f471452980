"""Periods of a recording: SpikeInterface's `base_period_dtype`, put together, cut out, looked up."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import concatenate_recordings
from spikeinterface.core.base import base_period_dtype

from huidurep_sorter.runtime import NothingFound


@dataclass(frozen=True, kw_only=True)
class PeriodRules:
    """How much is read of what is left."""

    max_pieces: int = 100  # pieces between periods; a limit of time: a stimulator leaves thousands


RULES = PeriodRules()


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """What of a recording of one segment nothing is learned from.

    Attributes
    ----------
    reduced : structured array (n_reduced,)
        Periods, in order, whose artefact was taken off, so that spikes are found in them.
    filled : structured array (n_filled,)
        Periods, in order, that hold noise in place of what was recorded.
    """

    reduced: np.ndarray
    filled: np.ndarray

    @classmethod
    def nothing(cls) -> "SetAside":
        """Set nothing aside."""
        return cls(reduced=as_periods([]), filled=as_periods([]))

    def all(self):
        """Give all of the periods, in order; those that overlap become one."""
        return merge_periods(self.reduced, self.filled)


def as_periods(runs_of_segments):
    """Make periods of the runs of each segment.

    Parameters
    ----------
    runs_of_segments : list of (n, 2) int64
        First sample, last sample + 1.

    Returns
    -------
    periods : structured array (n_periods,)
        SpikeInterface's `base_period_dtype`, in order.
    """
    periods = np.zeros(sum(map(len, runs_of_segments)), dtype=base_period_dtype)
    periods["segment_index"] = np.repeat(np.arange(len(runs_of_segments)), list(map(len, runs_of_segments)))
    if len(periods):
        periods["start_sample_index"], periods["end_sample_index"] = np.concatenate(runs_of_segments).T
    return periods


def as_runs(periods):
    """Give the periods of one segment as (n_periods, 2) int64: first sample, last sample + 1."""
    return np.column_stack([periods["start_sample_index"], periods["end_sample_index"]])


def merge_periods(*periods):
    """Put periods of one segment together, in order; those that overlap become one."""
    return as_periods([merge_runs(np.concatenate([as_runs(some) for some in periods]))])


def count_samples_of(periods):
    """Count the samples of periods that don't overlap."""
    return int((periods["end_sample_index"] - periods["start_sample_index"]).sum())


def are_within(sample_index, periods):
    """Say which samples lie in one of the periods, in order and of one segment, (n_samples,) bool."""
    which = np.searchsorted(periods["start_sample_index"], sample_index, side="right") - 1
    within = np.zeros(len(sample_index), dtype=bool)
    known = which >= 0
    within[known] = np.asarray(sample_index)[known] < periods["end_sample_index"][which[known]]
    return within


def end_to_end(recording, periods):
    """Give the periods of a recording as those of its segments end to end."""
    lengths = [recording.get_num_samples(segment) for segment in range(recording.get_num_segments())]
    moved = periods.copy()
    for name in ("start_sample_index", "end_sample_index"):
        moved[name] += np.r_[0, np.cumsum(lengths)[:-1]][periods["segment_index"]]
    moved["segment_index"] = 0
    return moved


def of_segments(recording, periods):
    """Give periods of the segments of a recording end to end as those of its segments; one across an end is cut."""
    lengths = [recording.get_num_samples(segment) for segment in range(recording.get_num_segments())]
    ends, runs = np.cumsum(lengths), as_runs(periods)
    parts = [np.clip(runs, end - length, end) - (end - length) for end, length in zip(ends, lengths, strict=True)]
    return as_periods([part[part[:, 1] > part[:, 0]] for part in parts])


def without_periods(recording, periods):
    """Cut the periods out and put what is left end to end, so that it can be measured; some of it, of many pieces.

    Raises
    ------
    NothingFound
        If nothing is left.
    """
    if len(periods) == 0:
        return recording
    pieces = []
    for segment in range(recording.get_num_segments()):
        mine = as_runs(periods[periods["segment_index"] == segment])
        starts, stops = np.r_[0, mine[:, 1]], np.r_[mine[:, 0], recording.get_num_samples(segment)]
        whole = recording.select_segments([segment])
        pieces += [whole.frame_slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True) if b > a]
    if len(pieces) == 0:
        raise NothingFound("all of it is silent or an artefact")
    longest = max(piece.get_num_samples(0) for piece in pieces)
    enough = [piece for piece in pieces if 4 * piece.get_num_samples(0) >= longest]  # short ones are not worth reading
    spread = np.unique(np.linspace(0, len(enough) - 1, RULES.max_pieces).astype(int))
    return concatenate_recordings([enough[k] for k in spread])


def take_spread(values, n):
    """Take at most n of some values, spread evenly over them."""
    return values[np.linspace(0, len(values) - 1, min(n, len(values))).astype("int64")]


def spread_stretches(n_samples, length, n_stretches):
    """Spread stretches of one length evenly, as periods of one segment; the whole of it where it is short."""
    n_stretches = min(n_stretches, max(n_samples // length, 1))
    starts = np.linspace(0, max(n_samples - length, 0), n_stretches).astype("int64")
    return as_periods([np.column_stack([starts, np.minimum(starts + length, n_samples)])])


def read_stretches(recording, length_s, n_stretches, channel_ids=None):
    """Read stretches that are spread over a recording of one segment, one by one, (n_samples, n_channels) each."""
    n_samples, length = recording.get_total_samples(), int(length_s * recording.sampling_frequency)
    for start, stop in as_runs(spread_stretches(n_samples, length, n_stretches)):
        yield recording.get_traces(start_frame=start, end_frame=stop, channel_ids=channel_ids)


def find_overlapping(runs, start, stop):
    """Find which of some runs, in order, overlap the samples from one to another, as a slice."""
    return slice(np.searchsorted(runs[:, 1], start, "right"), np.searchsorted(runs[:, 0], stop))


def find_runs(mask):
    """Find the runs of True, (n_runs, 2) int64: first index, last index + 1."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype("int8")))
    return edges.reshape(-1, 2)


def merge_runs(runs):
    """Merge runs that touch or overlap, in order."""
    if len(runs) == 0:
        return runs.reshape(0, 2)
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    ends = np.maximum.accumulate(runs[:, 1])
    is_first = np.r_[True, runs[1:, 0] > ends[:-1]]
    return np.column_stack([runs[is_first, 0], ends[np.r_[np.flatnonzero(is_first)[1:] - 1, len(runs) - 1]]])
