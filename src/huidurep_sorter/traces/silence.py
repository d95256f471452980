"""Stretches without any signal, blanked, held or lost: found, set aside, and said."""

import logging
from dataclasses import dataclass

import numpy as np

from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.periods import as_periods, count_samples_of, find_runs, merge_runs
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
    periods = as_periods([_silent_in_segment(recording, k) for k in range(recording.get_num_segments())])
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


def _silent_in_segment(recording, segment):
    """Find the silent stretches of a segment with their margins, (n, 2) int64: first sample, last sample + 1."""
    n_samples, fs = recording.get_num_samples(segment), recording.sampling_frequency
    size = max(VALUES_PER_CHUNK // recording.get_num_channels(), 2)
    constant, missing = [], []
    for start in range(0, n_samples, size):
        first = max(start - 1, 0)
        traces = recording.get_traces(segment_index=segment, start_frame=first, end_frame=min(start + size, n_samples))
        same = (traces[1:] == traces[:-1]).all(axis=1)
        constant.append(find_runs(same) + [first, first + 1])  # a sample that is as the one before it, and that one
        if traces.dtype.kind == "f":
            missing.append(find_runs(~np.isfinite(traces).all(axis=1)) + first)
    long = merge_runs(np.concatenate(constant))
    long = long[np.diff(long, axis=1)[:, 0] >= RULES.min_constant_ms * fs / 1000]
    margin = int(RULES.margin_ms * fs / 1000)
    found = merge_runs(np.concatenate([long, *missing]) + [-margin, margin])
    return np.clip(found, 0, n_samples)
