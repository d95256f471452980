"""The band-pass filter and the common reference of SpikeInterface, each in compiled code: the same traces, sooner."""

import numpy as np
from numba import njit
from scipy.signal import sosfilt_zi
from spikeinterface.core.recording_tools import get_chunk_with_margin
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment
from spikeinterface.preprocessing.filter import BandpassFilterRecording


class BandPassRecording(BandpassFilterRecording):
    """SpikeInterface's recording filtered forward and backward, whose segments are `BandPassSegment`.

    Parameters
    ----------
    recording : BaseRecording
    **kwargs
        As for `BandpassFilterRecording`.
    """

    def __init__(self, recording, **kwargs):
        super().__init__(recording, **kwargs)
        sections = np.asarray(self.segments[0].coeff, dtype="float64")
        self.segments.clear()
        for parent in recording.segments:
            self.add_recording_segment(BandPassSegment(parent, sections, self.margin_samples))


class BandPassSegment(BasePreprocessorSegment):
    """Filters all channels at once, where SciPy filters one after the other."""

    def __init__(self, parent, sections, margin):
        super().__init__(parent)
        self.sections, self.margin = sections, margin

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read with the margin of SpikeInterface's filter, and filter, (n_samples, n_channels) float32."""
        parent = self.parent_recording_segment
        traces, left, right = get_chunk_with_margin(parent, start_frame, end_frame, channel_indices, self.margin)
        filtered = filter_both_ways(traces, self.sections)
        return filtered[left : len(filtered) - right]


def filter_both_ways(traces, sections):
    """Filter forward and backward in second-order sections, as SciPy's `sosfiltfilt`, (n_samples, n_channels) float32.

    Parameters
    ----------
    traces : (n_samples, n_channels)
    sections : (n_sections, 6) float64
    """
    n_taps = 2 * len(sections) + 1 - min((sections[:, 2] == 0).sum(), (sections[:, 5] == 0).sum())
    n_edge = min(3 * n_taps, len(traces) - 1)  # SciPy's; it is odd around the ends
    values = np.empty((len(traces) + 2 * n_edge, traces.shape[1]), dtype="float64")
    values[n_edge : n_edge + len(traces)] = traces
    if n_edge:
        first, last = values[n_edge], values[-n_edge - 1]
        values[:n_edge] = 2 * first - values[2 * n_edge : n_edge : -1]
        values[-n_edge:] = 2 * last - values[-n_edge - 2 : -2 * n_edge - 2 : -1]
    steady = sosfilt_zi(sections)[:, :, None]
    filter_one_way(values, sections, steady * values[0], False)
    filter_one_way(values, sections, steady * values[-1], True)
    return values[n_edge : n_edge + len(traces)].astype("float32")


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def filter_one_way(values, sections, state, backward):
    """Filter values (n_samples, n_channels) in place, from a state (n_sections, 2, n_channels)."""
    for step in range(len(values)):
        row = values[len(values) - 1 - step if backward else step]
        for k in range(len(sections)):
            filter_row(row, state[k, 0], state[k, 1], sections[k])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def filter_row(row, first, second, section):
    """Take one step of a section on all channels at once; a function of its own, so that it is vectorised."""
    b0, b1, b2, a1, a2 = section[0], section[1], section[2], section[4], section[5]
    for channel in range(len(row)):
        value = row[channel]
        filtered = b0 * value + first[channel]
        first[channel] = b1 * value - a1 * filtered + second[channel]
        second[channel] = b2 * value - a2 * filtered
        row[channel] = filtered


class MedianReferencedRecording(BasePreprocessor):
    """A recording without the median of all its channels, computed when it is read: SpikeInterface's global reference.

    Parameters
    ----------
    recording : BaseRecording
        Of float32.
    """

    def __init__(self, recording):
        super().__init__(recording, dtype="float32")
        for parent in recording.segments:
            self.add_recording_segment(MedianReferencedSegment(parent))
        self._kwargs = dict(recording=recording)


class MedianReferencedSegment(BasePreprocessorSegment):
    """Finds medians by bisection, where NumPy moves the values."""

    def get_traces(self, start_frame, end_frame, channel_indices):
        """Read and reference, (n_samples, n_channels) float32."""
        traces = self.parent_recording_segment.get_traces(start_frame, end_frame, slice(None))
        return traces[:, channel_indices] - medians_of_rows(np.ascontiguousarray(traces, dtype="float32"))[:, None]


@njit(cache=True, nogil=True)
def medians_of_rows(values):
    """Give the median of each row, (n_rows,) float32, of (n_rows, n_values) float32: equal to NumPy's."""
    medians = np.empty(len(values), dtype="float32")
    for row in range(len(values)):
        medians[row] = median_of(values[row])
    return medians


@njit(cache=True, nogil=True)
def median_of(values):
    """Find the median by halving the range in which it lies: counting is fast, sorting is not.

    Where equal values stand in the middle, no bound has half of the values below it, and NumPy finds the median.
    """
    n, low, high, total = len(values), values[0], values[0], 0.0
    for i in range(n):
        low, high, total = min(low, values[i]), max(high, values[i]), total + values[i]
    bound = np.float32(total / n)
    while low < bound <= high:
        below = 0
        for i in range(n):
            below += values[i] < bound
        if below == n // 2:
            return middle_of(values, bound, low, high)
        if below < n // 2:
            low = bound
        else:
            high = bound
        middle = low + (high - low) / 2
        if middle == bound:
            break
        bound = middle
    return low if low == high else np.float32(np.median(values))


@njit(cache=True, nogil=True)
def middle_of(values, bound, low, high):
    """Give the median of values of which half lie below a bound: the mean of the two nearest, or the upper one."""
    under, over = low, high
    for i in range(len(values)):
        if values[i] < bound:
            under = max(under, values[i])
        else:
            over = min(over, values[i])
    return np.float32((under + over) / 2) if len(values) % 2 == 0 else over
