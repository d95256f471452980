"""Snippets: what the encoder sees of a spike.

A snippet is a window of time around a peak on the nearest channels of the same shank, in one canonical order,
padded with zeros where the shank has fewer channels, and resampled to the encoder's sampling frequency.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

VALUES_PER_CHUNK = 2**24  # traces read at once, in samples times channels: 64 MB of float32


@dataclass(frozen=True, kw_only=True)
class Window:
    """The stretch of time that a snippet covers, on the encoder's clock."""

    n_samples: int
    n_before: int
    sampling_frequency: float


@dataclass(frozen=True, kw_only=True)
class Neighbourhoods:
    """For each channel its nearest channels, itself first.

    Attributes
    ----------
    channel_indices : (n_channels, n_neighbours) int64
        -1 where the shank has fewer channels.
    offsets_um : (n_channels, n_neighbours, 2) float32
        Position relative to the first; NaN where there is no channel.
    """

    channel_indices: np.ndarray
    offsets_um: np.ndarray


def find_neighbourhoods(recording, n_neighbours=11) -> Neighbourhoods:
    """Find the nearest channels of the same shank, ordered by distance (to the micrometre), then y, then x.

    The ties of a regular probe are thereby broken by position, never by channel number.
    """
    locations = recording.get_channel_locations()[:, :2]
    shanks = np.asarray(recording.get_channel_groups())
    indices = np.full((len(locations), n_neighbours), -1, dtype="int64")
    offsets = np.full((len(locations), n_neighbours, 2), np.nan, dtype="float32")
    for channel in range(len(locations)):
        same_shank = np.flatnonzero(shanks == shanks[channel])
        away = locations[same_shank] - locations[channel]
        distance = np.round(np.linalg.norm(away, axis=1))
        order = np.lexsort((away[:, 0], away[:, 1], distance))[:n_neighbours]
        indices[channel, : len(order)] = same_shank[order]
        offsets[channel, : len(order)] = away[order]
    return Neighbourhoods(channel_indices=indices, offsets_um=offsets)


def iterate_snippets(recording, peaks, window: Window, neighbourhoods: Neighbourhoods):
    """Read the snippets of some peaks, a chunk of the recording at a time.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces.
    peaks : structured array
        With `sample_index`, `channel_index` and `segment_index`, in any order.
    window : Window
    neighbourhoods : Neighbourhoods

    Yields
    ------
    indices : (n,) int64
        Which of the peaks these are.
    snippets : (n, window.n_samples, n_neighbours) float32
        Zero beyond the ends of the recording and on channels that don't exist.
    """
    first, resampling = _native_window(window, recording.sampling_frequency)
    n_native = window.n_samples if resampling is None else resampling.shape[1]
    chunk_size = max(VALUES_PER_CHUNK // recording.get_num_channels(), 4 * n_native)
    order = np.lexsort((peaks["sample_index"], peaks["segment_index"]))
    chunk = peaks["sample_index"][order] // chunk_size
    new_chunk = (np.diff(chunk) != 0) | (np.diff(peaks["segment_index"][order]) != 0)
    for indices in np.split(order, np.flatnonzero(new_chunk) + 1):
        if indices.size == 0:
            continue
        starts = peaks["sample_index"][indices] + first
        traces = _padded_traces(
            recording, int(peaks["segment_index"][indices[0]]), int(starts[0]), int(starts[-1]) + n_native
        )
        time = (starts - starts[0])[:, None] + np.arange(n_native)
        channels = neighbourhoods.channel_indices[peaks["channel_index"][indices]]
        native = traces[time[:, :, None], channels[:, None, :]]
        yield indices, native if resampling is None else np.einsum("st,ntc->nsc", resampling, native, optimize=True)


def _padded_traces(recording, segment_index, start, stop):
    """Read traces from start to stop, zero beyond the segment, with a last column of zeros (the channel -1)."""
    n_samples = recording.get_num_samples(segment_index)
    traces = np.zeros((stop - start, recording.get_num_channels() + 1), dtype="float32")
    a, b = max(start, 0), min(stop, n_samples)
    if b > a:
        traces[a - start : b - start, :-1] = recording.get_traces(
            segment_index=segment_index, start_frame=a, end_frame=b
        )
    return traces


def _native_window(window, sampling_frequency):
    """Give the first native sample relative to the peak, and the matrix that resamples by cubic spline.

    The matrix is (n_samples, n_native); None where both clocks are the same.
    """
    if sampling_frequency == window.sampling_frequency:
        return -window.n_before, None
    wanted = (np.arange(window.n_samples) - window.n_before) * sampling_frequency / window.sampling_frequency
    margin = 4  # samples that keep the spline's ends away from the window
    first, last = int(np.floor(wanted[0])) - margin, int(np.ceil(wanted[-1])) + margin
    native = np.arange(first, last + 1)
    spline = CubicSpline(native, np.eye(native.size))
    return first, spline(wanted).astype("float32")
