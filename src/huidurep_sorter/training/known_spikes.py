"""Known spikes as a detector would have found them: on which channel and at which sample each is largest."""

import numpy as np

PEAK_DTYPE = [("sample_index", "int64"), ("channel_index", "int64"), ("segment_index", "int64")]
PEAK_RADIUS_UM = 45.0  # um around a unit's main channel, where a spike of it may be largest: the next contacts
REACH = 4  # samples around the known time, where the trough may lie: filters and other channels delay it
CHUNK_SIZE = 2**17  # samples read at once: 32 MB of float32 at 64 channels
MAIN_REACH = 10  # samples around a spike in which a unit's mean trough is looked for: a third of a ms at 30 kHz


def at_most(spikes, n, rng):
    """Keep at most n spikes of each unit, drawn at random, in the order of `spikes`."""
    shuffled = rng.permutation(len(spikes))
    order = shuffled[np.argsort(spikes["unit_index"][shuffled], kind="stable")]
    units = spikes["unit_index"][order]
    rank = np.arange(len(order)) - np.searchsorted(units, units)
    return spikes[np.sort(order[rank < n])]


def main_channels(recording, spikes, n_units, n_spikes=100):
    """Find the channel of each unit's deepest mean trough, (n_units,), in a recording of one segment.

    The mean is that of the unit's first `n_spikes` spikes; the channel is 0 where it has none.
    """
    main = np.zeros(n_units, dtype="int64")
    for unit in range(n_units):
        samples = spikes["sample_index"][spikes["unit_index"] == unit][:n_spikes]
        pieces = [
            recording.get_traces(start_frame=max(s - MAIN_REACH, 0), end_frame=s + MAIN_REACH + 1) for s in samples
        ]
        pieces = [p for p in pieces if len(p) == 2 * MAIN_REACH + 1]
        main[unit] = np.mean(pieces, axis=0).min(axis=0).argmin() if pieces else 0
    return main


def peaks_near(recording, samples, main_channel, own_channel):
    """Place known spikes as peaks, in a recording of one segment.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed.
    samples : (n,) int64
        Ascending.
    main_channel : (n,) int64
        Of each spike's unit.
    own_channel : (n,) bool
        Where True, the peak is on the channel on which this very spike is largest, near the main one. Elsewhere it is
        on the main one.

    Returns
    -------
    peaks : structured array (n,)
        Of PEAK_DTYPE, in the order of `samples`.
    """
    locations, groups = recording.get_channel_locations(), recording.get_channel_groups()
    near = np.linalg.norm(locations[:, None] - locations[None], axis=2) < PEAK_RADIUS_UM
    near &= groups[:, None] == groups[None]
    n_samples = recording.get_num_samples(0)
    peaks = np.zeros(len(samples), dtype=PEAK_DTYPE)
    for start in range(0, n_samples, CHUNK_SIZE):
        inside = np.flatnonzero((samples >= start) & (samples < start + CHUNK_SIZE))
        first = max(start - REACH, 0)
        traces = recording.get_traces(start_frame=first, end_frame=min(start + CHUNK_SIZE + REACH, n_samples))
        for i in inside:
            channels = np.flatnonzero(near[main_channel[i]]) if own_channel[i] else main_channel[i : i + 1]
            begin = max(samples[i] - REACH - first, 0)
            piece = traces[begin : samples[i] + REACH + 1 - first][:, channels]
            t, c = np.unravel_index(piece.argmin(), piece.shape)
            peaks["sample_index"][i] = first + begin + t
            peaks["channel_index"][i] = channels[c]
    return peaks
