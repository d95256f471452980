"""Spikes that the converter cut off, because its range is too small: the samples that are missing are interpolated.

How much of a spike is cut off depends on the slow potential beneath it, so that the spikes of one neuron differ by more
than those of two. Its flanks tell where the spike would have gone.
"""

import logging
from dataclasses import dataclass

import numpy as np
from spikeinterface.core.recording_tools import get_chunk_with_margin
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment

from huidurep_sorter.traces.periods import as_runs, find_runs, spread_stretches

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClippingRules:
    """What counts as cut off, and how far it is interpolated."""

    n_stretches: int = 20  # of each segment, in which the ends of the range are looked for (traces-26)
    stretch_s: float = 1.0  # s of such a stretch (traces-26)
    min_run: int = 3  # samples in a row at a channel's extreme value that noise doesn't have (traces-26)
    min_runs: int = 3  # of them; fewer may be chance (traces-26)
    min_values: int = 64  # that a channel has; fewer: traces of a few bits, or hardly any signal (traces-26)
    flat: float = 1.5  # times the median slope of a channel, which is noise, is taken off that of a flank (traces-26)
    max_ms: float = 2.0  # ms that are interpolated; longer ones are no spikes and are left as they are (traces-26)


RULES = ClippingRules()


def interpolate_clipped(recording):
    """Interpolate what the converter cut off, lazily; the recording itself where nothing was.

    Parameters
    ----------
    recording : BaseRecording
        Raw.

    Returns
    -------
    recording : BaseRecording
    """
    limits = find_limits(recording)
    lowest, highest, *_ = limits
    clipped = np.isfinite(lowest) | np.isfinite(highest)
    if not clipped.any():
        return recording
    logger.info("%d channels reach the limits of their converter: what they cut off is interpolated", clipped.sum())
    return InterpolatedRecording(recording, limits)


def find_limits(recording, rules=RULES):
    """Find the values at which channels are cut off: their extremes, if samples in a row have them, again and again.

    Returns
    -------
    lowest, highest : (n_channels,) float64
        Infinite for none.
    noise : (n_channels,) float64
        Of the slope from sample to sample, what is taken off that of a flank; 0 for a channel without a limit.
    middle : (n_channels,) float64
        Of the values; 0 for a channel without a limit.
    """
    n_max, found = max_samples(recording, rules), {1: [], -1: []}
    for traces in read_raw_stretches(recording, rules):
        for sign in found:
            found[sign].append(describe_extremes(traces, sign, n_max, rules))
    lowest, highest = -as_limits(np.array(found[-1]), rules), as_limits(np.array(found[1]), rules)
    clipped = np.isfinite(lowest) | np.isfinite(highest)
    noise, middle = np.zeros((2, len(clipped)))
    if clipped.any():
        values = [traces[:, clipped].astype("float64") for traces in read_raw_stretches(recording, rules)]
        slopes = [np.median(np.abs(v[2:] - v[:-2]), axis=0) / 2 for v in values]
        noise[clipped] = rules.flat * np.median(slopes, axis=0)
        middle[clipped] = np.median([np.median(v, axis=0) for v in values], axis=0)
    return lowest, highest, noise, middle


def read_raw_stretches(recording, rules=RULES):
    """Read stretches that are spread over each segment, each (n_samples, n_channels)."""
    length = int(rules.stretch_s * recording.sampling_frequency)
    for segment in range(recording.get_num_segments()):
        for start, stop in as_runs(spread_stretches(recording.get_num_samples(segment), length, rules.n_stretches)):
            yield recording.get_traces(segment_index=segment, start_frame=start, end_frame=stop)


def describe_extremes(traces, sign, n_max, rules=RULES):
    """Describe the highest values of channels, or the lowest ones, with the other sign (`sign` is -1).

    Returns
    -------
    extremes : (n_channels, 3) float64
        The value, how many runs of samples have it, and how many values of the channel lie below it; that is 0 where
        there is no run.
    """
    highest = traces.max(axis=0) if sign > 0 else traces.min(axis=0)
    at_extreme = traces == highest
    extremes = np.column_stack([sign * highest.astype("float64"), np.zeros((len(highest), 2))])
    for channel in np.flatnonzero(at_extreme.sum(axis=0) >= rules.min_run):
        lengths = np.diff(find_runs(at_extreme[:, channel]), axis=1)
        n_runs = ((lengths >= rules.min_run) & (lengths <= n_max)).sum()
        extremes[channel, 1:] = n_runs, np.unique(traces[:, channel]).size if n_runs else 0
    return extremes


def as_limits(extremes, rules=RULES):
    """Decide from the extremes of stretches, (n_stretches, n_channels, 3), which are limits; infinite for none."""
    highest = extremes[..., 0].max(axis=0)
    n_runs = (extremes[..., 1] * (extremes[..., 0] == highest)).sum(axis=0)
    is_limit = (n_runs >= rules.min_runs) & (extremes[..., 2].max(axis=0) >= rules.min_values)
    return np.where(is_limit, highest, np.inf)


def max_samples(recording, rules=RULES):
    """Count the samples in a row that are interpolated at most."""
    return int(rules.max_ms * recording.sampling_frequency / 1000)


class InterpolatedRecording(BasePreprocessor):
    """A recording whose clipped samples are interpolated when it is read.

    Parameters
    ----------
    recording : BaseRecording
    limits : tuple of (n_channels,) float
        As from `find_limits`.
    """

    def __init__(self, recording, limits):
        super().__init__(recording, dtype="float32")
        for segment in recording.segments:
            self.add_recording_segment(InterpolatedSegment(segment, limits, max_samples(recording)))
        self._serializability["json"] = False
        self._kwargs = dict(recording=recording, limits=limits)


class InterpolatedSegment(BasePreprocessorSegment):
    """See `InterpolatedRecording`; `n_max` samples in a row are interpolated at most."""

    def __init__(self, parent, limits, n_max):
        super().__init__(parent)
        self.limits, self.n_max = np.column_stack(limits), n_max

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read with a margin, so that the result does not depend on where a chunk begins."""
        traces, left, _ = get_chunk_with_margin(
            self.parent_recording_segment, start_frame, end_frame, channel_indices, self.n_max + 3
        )
        traces = traces.astype("float32")
        for values, (lowest, highest, noise, middle) in zip(traces.T, self.limits[channel_indices], strict=True):
            for sign, limit in ((1, highest), (-1, lowest)):
                if np.isfinite(limit):
                    side = sign * values  # not np.negative in place: on four channels numpy 2.4 mixes them up
                    interpolate_over(side, sign * limit, sign * (2 * limit - middle), self.n_max, noise)
                    values[:] = sign * side
        return traces[left : left + end_frame - start_frame]


def interpolate_over(values, limit, highest, n_max, noise):
    """Interpolate runs of values at a limit, in place, by the cubic that continues the flanks; never below the limit.

    Parameters
    ----------
    values : (n_samples,) float
    limit, highest : float
        At which values are cut off, and what they may reach: as far again from the middle.
    n_max : int
        Longer runs are left as they are, and so are runs within three samples of the ends.
    noise : float
        Flanks that rise by less each sample are flat.
    """
    runs = find_runs(values >= limit)
    n = np.diff(runs, axis=1)[:, 0]
    inside = (n <= n_max) & (runs[:, 0] >= 3) & (runs[:, 1] <= len(values) - 3)
    (start, stop), n = runs[inside].T, n[inside]
    before, after = values[start - 1], values[stop]
    rise = np.maximum((before - values[start - 3]) / 2 - noise, 0) * (n + 1)
    fall = np.maximum((after - values[stop + 2]) / 2 - noise, 0) * (n + 1)
    step = 1 + np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)  # from the last sample before each run
    t = step / np.repeat(n + 1, n)
    before, after, rise, fall, first = (np.repeat(each, n) for each in (before, after, rise, fall, start - 1))
    cubic = (1 + 2 * t) * (1 - t) ** 2 * before + t**2 * (3 - 2 * t) * after  # Hermite's form
    cubic += t * (1 - t) * ((1 - t) * rise + t * fall)
    values[first + step] = np.clip(cubic, limit, highest)
