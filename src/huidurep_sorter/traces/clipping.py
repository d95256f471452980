"""Spikes that the converter cut off, because its range is too small: the samples that are missing are interpolated.

How much of a spike is cut off depends on the slow potential beneath it, so that the spikes of one neuron differ by more
than those of two. Its flanks tell where the spike would have gone.
"""

import logging
from dataclasses import dataclass

import numpy as np
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
    min_values: int = 32  # that a channel has on its way to a limit; fewer: traces of a few bits (traces-26)
    min_deviations: float = 1.0  # of the noise of slopes, that are taken off those of a flank (traces-26)
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
    lowest, highest, noise = find_limits(recording)
    clipped = np.isfinite(lowest) | np.isfinite(highest)
    if not clipped.any():
        return recording
    logger.info("%d channels reach the limits of their converter: what they cut off is interpolated", clipped.sum())
    return InterpolatedRecording(recording, lowest, highest, noise)


def find_limits(recording, rules=RULES):
    """Find the values at which channels are cut off, each (n_channels,) float64: lowest, highest; infinite for none.

    A channel's extreme value is such a limit if samples in a row have it, again and again.
    """
    stretches = []
    length = int(rules.stretch_s * recording.sampling_frequency)
    for segment in range(recording.get_num_segments()):
        for start, stop in as_runs(spread_stretches(recording.get_num_samples(segment), length, rules.n_stretches)):
            traces = recording.get_traces(segment_index=segment, start_frame=start, end_frame=stop)
            stretches.append(traces.astype("float64"))
    highest = [
        _find_limit([stretch[:, channel] for stretch in stretches], recording, rules)
        for channel in range(recording.get_num_channels())
    ]
    lowest = [
        -_find_limit([-stretch[:, channel] for stretch in stretches], recording, rules)
        for channel in range(recording.get_num_channels())
    ]
    slopes = np.concatenate([stretch[2:] - stretch[:-2] for stretch in stretches]) / 2
    noise = rules.min_deviations * np.median(np.abs(slopes), axis=0) / 0.6745
    return np.array(lowest), np.array(highest), noise


def _find_limit(stretches, recording, rules):
    """Find the highest value of a channel if it is a limit, else infinity; from stretches (n_samples,)."""
    highest = max(stretch.max() for stretch in stretches)
    lengths = np.concatenate([np.diff(find_runs(stretch >= highest), axis=1)[:, 0] for stretch in stretches])
    clipped = (lengths >= rules.min_run) & (lengths <= max_samples(recording, rules))
    if clipped.sum() < rules.min_runs:
        return np.inf
    values = np.concatenate(stretches)
    return highest if np.unique(values[values >= np.median(values)]).size >= rules.min_values else np.inf


def max_samples(recording, rules=RULES):
    """Count the samples in a row that are interpolated at most."""
    return int(rules.max_ms * recording.sampling_frequency / 1000)


class InterpolatedRecording(BasePreprocessor):
    """A recording whose clipped samples are interpolated when it is read.

    Parameters
    ----------
    recording : BaseRecording
    lowest, highest : (n_channels,) float
        Limits of each channel; infinite for none.
    """

    def __init__(self, recording, lowest, highest, noise):
        super().__init__(recording, dtype="float32")
        for segment in recording.segments:
            self.add_recording_segment(InterpolatedSegment(segment, lowest, highest, noise, max_samples(recording)))
        self._serializability["json"] = False
        self._kwargs = dict(recording=recording, lowest=lowest, highest=highest, noise=noise)


class InterpolatedSegment(BasePreprocessorSegment):
    """See `InterpolatedRecording`; `n_max` samples in a row are interpolated at most."""

    def __init__(self, parent, lowest, highest, noise, n_max):
        super().__init__(parent)
        self.lowest, self.highest, self.noise, self.n_max = lowest, highest, noise, n_max

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read with a margin, so that the result does not depend on where a chunk begins."""
        margin = self.n_max + 3
        first, last = max(start_frame - margin, 0), min(end_frame + margin, self.get_num_samples())
        traces = self.parent_recording_segment.get_traces(first, last, channel_indices).astype("float32")
        for values, lowest, highest, noise in zip(
            traces.T, *(of_all[channel_indices] for of_all in (self.lowest, self.highest, self.noise)), strict=True
        ):
            interpolate_over(values, highest, self.n_max, noise)
            np.negative(values, out=values)
            interpolate_over(values, -lowest, self.n_max, noise)
            np.negative(values, out=values)
        return traces[start_frame - first : end_frame - first]


def interpolate_over(values, limit, n_max, noise):
    """Interpolate runs of values at a limit, in place, by the cubic that continues the flanks; never below the limit.

    Parameters
    ----------
    values : (n_samples,) float
    limit : float
    n_max : int
        Longer runs are left as they are, and so are runs within two samples of the ends.
    """
    for start, stop in find_runs(values >= limit):
        if stop - start > n_max or start < 3 or stop > len(values) - 3:
            continue
        before, after = values[start - 1], values[stop]
        length = stop - start + 1
        rise = max((before - values[start - 3]) / 2 - noise, 0) * length
        fall = max((after - values[stop + 2]) / 2 - noise, 0) * length
        t = np.arange(1, length) / length
        # the cubic through both flanks, with their slopes (Hermite's form)
        cubic = (
            (1 + 2 * t) * (1 - t) ** 2 * before + t**2 * (3 - 2 * t) * after + t * (1 - t) * ((1 - t) * rise + t * fall)
        )
        values[start:stop] = np.maximum(cubic, limit)
