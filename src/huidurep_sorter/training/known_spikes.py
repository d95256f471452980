"""Known spikes as a detector would have found them: on which channel and at which sample each is largest."""

import numpy as np

PEAK_DTYPE = [("sample_index", "int64"), ("channel_index", "int64"), ("segment_index", "int64")]
PEAK_RADIUS_UM = 45.0  # around a unit's main channel, where a spike of it may be largest
REACH = 4  # samples around the known time
CHUNK_SIZE = 2**17


def at_most(spikes, n, rng):
    """At most n spikes of each unit, drawn at random, in the order of `spikes`."""
    shuffled = rng.permutation(len(spikes))
    order = shuffled[np.argsort(spikes["unit_index"][shuffled], kind="stable")]
    units = spikes["unit_index"][order]
    rank = np.arange(len(order)) - np.searchsorted(units, units)
    return spikes[np.sort(order[rank < n])]


def main_channels(recording, spikes, n_units, n_spikes=100):
    """(n_units,) the channel of the deepest mean trough; of one segment."""
    main = np.zeros(n_units, dtype="int64")
    for unit in range(n_units):
        samples = spikes["sample_index"][spikes["unit_index"] == unit][:n_spikes]
        pieces = [recording.get_traces(start_frame=max(s - 10, 0), end_frame=s + 11) for s in samples]
        pieces = [p for p in pieces if len(p) == 21]
        main[unit] = np.mean(pieces, axis=0).min(axis=0).argmin() if pieces else 0
    return main


def peaks_near(recording, samples, main_channel, own_channel):
    """Peaks of known spikes, in a recording of one segment.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed.
    samples : (n,) int64
        Ascending.
    main_channel : (n,) int64
        Of each spike's unit.
    own_channel : (n,) bool
        Where True, the channel on which this very spike is largest, near the main one; else the main one.

    Returns
    -------
    peaks : structured array (n,)
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
