"""What a curator wants to know of each unit, as properties of the sorting.

Another property is another line of `PROPERTIES`.
"""

import logging
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors
from spikeinterface.core import ChannelSparsity
from spikeinterface.metrics.quality.misc_metrics import amplitude_cutoff
from spikeinterface.postprocessing.localization_tools import compute_monopolar_triangulation

from huidurep_sorter.runtime import NothingFound, stage
from huidurep_sorter.spikes.spike_trains import count_presence, expected_violations, lags_to_nearest, violation_ratio
from huidurep_sorter.templates.estimation import as_templates
from huidurep_sorter.templates.split_half import average_split_half, near_main_channel, split_half_window
from huidurep_sorter.traces.probe import channels_within
from huidurep_sorter.units.acceptance import is_isolated

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PropertyRules:
    """How properties are measured."""

    n_neighbours: int = 10  # nearest spikes in features, of which those of the unit are counted (units-7, units-41)
    match_ms: float = 0.3  # ms between a peak and the unit's spike that it is, at most (units-41)
    match_radius_um: float = 75.0  # um from a unit's main channel, within which its peaks are found (units-41)
    location_radius_um: float = 75.0  # um around its main channel, over which a unit is located (units-30)
    chunk_s: float = 5.0  # s of traces read at once; a limit of memory


RULES = PropertyRules()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What properties are made of, for units whose mean waveforms are known.

    Attributes
    ----------
    traces : Traces
    units : Spikes
    clusters : Spikes
        The peaks that were clustered, with features.
    templates : SplitHalfTemplates
    size : (n_units, n_channels) float32
        Largest deflection of the mean waveform.
    main : (n_units,) int64
        Main channel of each unit.
    location_um : (n_units, 2) float64
    amplitudes : (n_spikes,) float32
        Size of the trace at each spike, on the main channel of its unit.
    """

    traces: object
    units: object
    clusters: object
    templates: object
    size: np.ndarray
    main: np.ndarray
    location_um: np.ndarray
    amplitudes: np.ndarray

    def of_each_train(self, function):
        """Apply a function to the spike train of each unit, (n_units,)."""
        return np.array([function(train) for train in self.units.trains()])


def firing_rates(measured):
    """Count the spikes a second of each unit, (n_units,) in Hz."""
    return measured.units.counts() / measured.traces.duration_s


def refractory_violations(measured):
    """Count pairs within the refractory period over those of a Poisson process, (n_units,)."""
    fs, n_samples = measured.traces.sampling_frequency, measured.traces.n_samples_with_signal
    return measured.of_each_train(lambda train: violation_ratio(train, fs, n_samples)[0])


def presence_ratios(measured):
    """Give the fraction of stretches of 10 s in which each unit fires, (n_units,)."""
    traces = measured.traces
    return (count_presence(measured.units, traces.sampling_frequency, traces.n_samples) > 0).mean(axis=1)


def amplitude_cutoffs(measured):
    """Estimate the fraction of each unit's spikes that are too small to be found, (n_units,); NaN under 500 spikes."""
    labels = range(measured.units.n_units)
    return np.array([float(amplitude_cutoff(measured.amplitudes[measured.units.label == u])) for u in labels])


PROPERTIES = {  # name: (type, function of `Measured`); one more line is one more property of every sorting
    "snr": ("float32", lambda m: (m.size / np.maximum(m.traces.noise_levels, 1e-9)).max(axis=1)),
    "amplitude": ("float32", lambda m: m.size.max(axis=1)),  # in units of the preprocessed traces
    "template_norm": ("float64", lambda m: m.templates.norms()),  # without the part that noise adds
    "n_spikes": ("int64", lambda m: m.units.counts()),
    "firing_rate": ("float64", firing_rates),
    "refractory_violations": ("float64", refractory_violations),
    "presence_ratio": ("float64", presence_ratios),
    "amplitude_cutoff": ("float64", amplitude_cutoffs),
    "nn_hit_rate": ("float64", lambda m: nn_hit_rates(m.traces, m.units, m.main, m.clusters)),
    "x": ("float64", lambda m: m.location_um[:, 0]),
    "y": ("float64", lambda m: m.location_um[:, 1]),
}


@stage("measure")
def measure(traces, units, clusters):
    """Measure the properties of units.

    Parameters
    ----------
    traces : Traces
    units : Spikes
        At least one.
    clusters : Spikes
        The peaks that were clustered, with features.

    Returns
    -------
    properties : dict of (n_units,) arrays
        Those of `PROPERTIES`, and `main_channel_id` and `group`.
    """
    array = average_split_half(traces, units)
    waveforms = array.mean(axis=1)
    size = np.abs(waveforms).max(axis=1)
    main = size.argmax(axis=1)
    n_before, _ = split_half_window(traces.sampling_frequency)
    measured = Measured(
        traces=traces,
        units=units,
        clusters=clusters,
        templates=near_main_channel(traces, array, units.counts()),
        size=size,
        main=main,
        location_um=locate_units(traces, waveforms, n_before, main),
        amplitudes=spike_amplitudes(traces, units, main),
    )
    properties = {name: np.asarray(function(measured), dtype) for name, (dtype, function) in PROPERTIES.items()}
    return properties | channel_properties(traces.recording, main)


def no_properties(recording):
    """Give the properties of no unit, with their types, so that empty and full sortings can be put together."""
    nothing = {name: np.zeros(0, dtype) for name, (dtype, _) in PROPERTIES.items()}
    return nothing | channel_properties(recording, [])


def channel_properties(recording, main):
    """Give the id and the group of each unit's main channel, of the types that they have in the recording."""
    main = np.asarray(main, dtype="int64")
    return {"main_channel_id": recording.channel_ids[main], "group": np.asarray(recording.get_channel_groups())[main]}


def keep_isolated(traces, units, properties, min_nn_hit_rate):
    """Keep the units that are distinct enough from others, and their properties.

    Raises
    ------
    NothingFound
        If there is none.
    """
    known = (properties[name] for name in ("template_norm", "nn_hit_rate", "refractory_violations"))
    n_expected = expected_violations(units.counts(), traces.sampling_frequency, traces.n_samples_with_signal)
    isolated = is_isolated(*known, n_expected, min_nn_hit_rate)
    if not isolated.all():
        logger.info("%d units are left out: too few of the spikes nearest to theirs are their own", (~isolated).sum())
    if not isolated.any():
        raise NothingFound("no unit is distinct enough from others")
    return units.without(~isolated), {name: values[isolated] for name, values in properties.items()}


def locate_units(traces, waveforms, n_before, main):
    """Locate units by SpikeInterface's monopolar triangulation, (n_units, 2) in um, from their peaks (units-30)."""
    around = channels_within(traces.recording, RULES.location_radius_um)[main]
    templates = as_templates(traces, waveforms, n_before, np.arange(len(main)))
    sparsity = ChannelSparsity(around, templates.unit_ids, templates.channel_ids)
    return compute_monopolar_triangulation(templates.to_sparse(sparsity), feature="peak_voltage")[:, :2]


def spike_amplitudes(traces, units, main):
    """Read the size of the trace at each spike on the main channel of its unit, (n_spikes,) float32."""
    chunk = int(RULES.chunk_s * traces.sampling_frequency)
    out = np.zeros(len(units), dtype="float32")
    starts = np.flatnonzero(np.diff(units.sample_index // chunk, prepend=-1))
    for first, last in zip(starts, [*starts[1:], len(units)], strict=True):
        start, stop = int(units.sample_index[first]), int(units.sample_index[last - 1]) + 1
        read = traces.recording.get_traces(start_frame=start, end_frame=stop)
        out[first:last] = np.abs(read[units.sample_index[first:last] - start, main[units.label[first:last]]])
    return out


def nn_hit_rates(traces, units, main, clusters):
    """Give the fraction of the spikes nearest to a unit's, by features on the same channel, that are its own.

    Of a unit with few spikes on a channel only as many neighbours are looked at as it has other spikes there.

    Parameters
    ----------
    traces : Traces
    units : Spikes
    main : (n_units,) int64
        Main channels.
    clusters : Spikes
        With features.

    Returns
    -------
    rates : (n_units,) float
        0 to 1.
    """
    owner = find_owners(traces, units, main, clusters)
    own, seen = np.zeros(len(main)), np.zeros(len(main))
    for channel in np.unique(clusters.channel_index):
        here = np.flatnonzero(clusters.channel_index == channel)
        if here.size < 2:
            continue
        k, features = min(RULES.n_neighbours, here.size - 1), clusters.features[here]
        neighbours = NearestNeighbors(n_neighbors=k).fit(features).kneighbors(return_distance=False)
        mine = owner[here] >= 0
        n_others = np.bincount(owner[here][mine], minlength=len(main))[owner[here]] - 1
        counted = np.arange(k) < np.maximum(n_others, 1)[:, None]
        same = ((owner[here][neighbours] == owner[here][:, None]) & counted).sum(axis=1) / counted.sum(axis=1)
        np.add.at(own, owner[here][mine], same[mine])
        np.add.at(seen, owner[here][mine], 1)
    return own / np.maximum(seen, 1)


def find_owners(traces, units, main, clusters):
    """Find the unit of each peak, (n_peaks,): the one that fires nearest in time, on a channel near it; -1 for none.

    Peaks were aligned to their template. Spikes were moved since a template found them, and each remembers by how much:
    so both are compared on the clock of the template (units-14, units-31).
    """
    reach = int(RULES.match_ms * traces.sampling_frequency / 1000)
    contacts = traces.locations_um[clusters.channel_index]
    best, owner = np.full(len(clusters), np.inf), np.full(len(clusters), -1)
    for label, train in enumerate(units.moved(-units.shift).trains()):
        away_um = np.linalg.norm(contacts - traces.locations_um[main[label]], axis=1)
        near = np.flatnonzero(away_um <= RULES.match_radius_um)
        away = np.abs(lags_to_nearest(clusters.sample_index[near], np.sort(train))).min(axis=1)
        closer = (away <= reach) & (away < best[near])
        best[near[closer]], owner[near[closer]] = away[closer], label
    return owner
