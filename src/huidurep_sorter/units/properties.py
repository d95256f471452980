"""What a curator wants to know of each unit, as properties of the sorting."""

import numpy as np

from huidurep_sorter.spikes.spike_trains import violation_ratio
from huidurep_sorter.spikes.spikes import count_presence
from huidurep_sorter.templates.agglomeration import average_halves, near_halves, template_norms
from huidurep_sorter.templates.duplicates import lags_to_nearest
from huidurep_sorter.templates.estimation import as_spike_vector
from huidurep_sorter.traces.snippets import channels_within

N_NEIGHBOURS = 10
MATCH_MS = 0.3


def measure(recording, units, noise_levels, peaks, features, job_kwargs=None):
    """Properties of units.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces, in one segment.
    units : Units
        At least one.
    noise_levels : (n_channels,) float
    peaks : structured array (n_peaks,)
        Those that were represented.
    features : (n_peaks, n_features) float32
    job_kwargs : dict, optional

    Returns
    -------
    properties : dict of (n_units,) arrays
        `snr` (largest peak over noise), `amplitude` (in units of the preprocessed traces), `template_norm` (over time
        and near channels, without the part that noise adds), `n_spikes`, `firing_rate` (Hz), `refractory_violations`
        (pairs within the refractory period over those of a Poisson process), `presence_ratio`, `amplitude_cutoff`,
        `confidence` (0 to 1: how many of the nearest spikes, by features, are of the same unit), `x`, `y` (um),
        `main_channel_id`, `group`.
    """
    array = average_halves(recording, units.sample_index, units.label, job_kwargs)
    waveforms = array.mean(axis=1)
    size = np.abs(waveforms).max(axis=1)
    main = size.argmax(axis=1)
    fs, n_total = recording.sampling_frequency, recording.get_total_samples()
    counts = np.bincount(units.label)
    location = locate_units(recording, waveforms, main)
    amplitudes = spike_amplitudes(recording, units, main)
    trains = units.trains()
    return {
        "snr": (size / np.maximum(noise_levels, 1e-9)).max(axis=1),
        "amplitude": size.max(axis=1),
        "template_norm": template_norms(near_halves(recording, array, counts)),
        "n_spikes": counts,
        "firing_rate": counts / (n_total / fs),
        "refractory_violations": np.array([violation_ratio(train, fs, n_total)[0] for train in trains]),
        "presence_ratio": presence_ratios(recording, units),
        "amplitude_cutoff": np.array([amplitude_cutoff(amplitudes[units.label == u]) for u in range(len(main))]),
        "confidence": confidences(units, main, peaks, features, recording),
        "x": location[:, 0],
        "y": location[:, 1],
        "main_channel_id": recording.channel_ids[main],
        "group": np.asarray(recording.get_channel_groups())[main],
    }


def as_sorting(units, properties, sampling_frequency):
    """NumpySorting of units, ids 0 to n_units - 1, with their properties."""
    from spikeinterface.core import NumpySorting

    vector = as_spike_vector(units.sample_index, units.label)
    sorting = NumpySorting(vector, sampling_frequency, np.arange(units.label.max() + 1))
    for name, values in properties.items():
        sorting.set_property(name, values)
    return sorting


def locate_units(recording, waveforms, main, radius_um=75.0):
    """Centre of mass of the peak-to-peak energy on the channels around, (n_units, 2) in um."""
    weights = np.ptp(waveforms, axis=1).astype("float64") ** 2
    weights *= channels_within(recording, radius_um)[main]
    return weights @ recording.get_channel_locations()[:, :2] / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)


def spike_amplitudes(recording, units, main, chunk_s=5.0):
    """Size of the trace at each spike on the main channel of its unit, (n_spikes,) float32."""
    chunk = int(chunk_s * recording.sampling_frequency)
    out = np.zeros(len(units), dtype="float32")
    starts = np.flatnonzero(np.diff(units.sample_index // chunk, prepend=-1))
    for first, last in zip(starts, [*starts[1:], len(units)], strict=True):
        start, stop = int(units.sample_index[first]), int(units.sample_index[last - 1]) + 1
        traces = recording.get_traces(start_frame=start, end_frame=stop)
        out[first:last] = np.abs(traces[units.sample_index[first:last] - start, main[units.label[first:last]]])
    return out


def amplitude_cutoff(amplitudes):
    """Estimated fraction of a unit's spikes that are too small to be found; NaN with under 500 spikes."""
    from spikeinterface.metrics.quality.misc_metrics import amplitude_cutoff as cutoff

    return float(cutoff(amplitudes))


def presence_ratios(recording, units):
    """Fraction of the stretches of 10 s in which each unit fires, (n_units,)."""
    return (count_presence(recording, units) > 0).mean(axis=1)


def confidences(units, main, peaks, features, recording):
    """Of the spikes nearest to a unit's in features, on the same channel: the fraction that are its own, (n_units,)."""
    from sklearn.neighbors import NearestNeighbors

    owner = owners(units, main, peaks, recording)
    own, seen = np.zeros(len(main)), np.zeros(len(main))
    for channel in np.unique(peaks["channel_index"]):
        here = np.flatnonzero(peaks["channel_index"] == channel)
        if here.size < 2:
            continue
        k = min(N_NEIGHBOURS, here.size - 1)
        neighbours = NearestNeighbors(n_neighbors=k).fit(features[here]).kneighbors(return_distance=False)
        same = (owner[here][neighbours] == owner[here][:, None]).mean(axis=1)
        mine = owner[here] >= 0
        np.add.at(own, owner[here][mine], same[mine])
        np.add.at(seen, owner[here][mine], 1)
    return own / np.maximum(seen, 1)


def owners(units, main, peaks, recording, reach_um=75.0):
    """Unit of each peak, (n_peaks,): the one that fires nearest in time, on a channel near the peak; -1 for none.

    A unit's spikes lie where its template is largest, which needn't be where its peaks were found: the lag between
    the two that is most frequent is its own, and counts as none.
    """
    locations = recording.get_channel_locations()[:, :2]
    reach = int(MATCH_MS * recording.sampling_frequency / 1000)
    best, owner = np.full(len(peaks), np.inf), np.full(len(peaks), -1)
    for label, train in enumerate(units.trains()):
        near = np.flatnonzero(
            np.linalg.norm(locations[peaks["channel_index"]] - locations[main[label]], axis=1) <= reach_um
        )
        before, after = lags_to_nearest(peaks["sample_index"][near], train).T
        lag = np.where(-before <= after, before, after)
        counts = np.bincount(lag[np.abs(lag) <= 2 * reach] + 2 * reach, minlength=4 * reach + 1)
        away = np.abs(lag - (np.convolve(counts, np.ones(3), "same").argmax() - 2 * reach))
        closer = (away <= reach) & (away < best[near])
        best[near[closer]], owner[near[closer]] = away[closer], label
    return owner
