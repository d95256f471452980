"""What a curator wants to know of each unit, as properties of the sorting.

Another property is another line of `PROPERTIES`. Names begin with `huidurep_`: in viewers a property of the sorting
hides the metric of the same name that SpikeInterface computes, on other traces and by another definition.
"""

import logging
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from sklearn.neighbors import NearestNeighbors
from spikeinterface.core import ChannelSparsity
from spikeinterface.metrics.quality.misc_metrics import amplitude_cutoff, isi_violations
from spikeinterface.postprocessing.localization_tools import compute_monopolar_triangulation

from huidurep_sorter.runtime import stage
from huidurep_sorter.spikes.spike_trains import TRAIN_RULES, count_presence, lags_to_nearest
from huidurep_sorter.templates.split_half import average_split_half, near_main_channel, split_half_window
from huidurep_sorter.templates.waveforms import as_templates
from huidurep_sorter.traces.probe import channels_within
from huidurep_sorter.units.labels import suggest_labels
from huidurep_sorter.units.spike_probability import SpikeFits, fit_spikes, spike_probabilities

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PropertyRules:
    """How properties are measured."""

    n_neighbours: int = 10  # nearest spikes in features, of which those of the unit are counted (units-7, units-41)
    match_ms: float = 0.3  # ms between a peak and the unit's spike that it is, at most (units-41)
    match_radius_um: float = 75.0  # um from a unit's main channel, within which its peaks are found (units-41)
    location_radius_um: float = 75.0  # um around its main channel, over which a unit is located (units-30)
    isi_threshold_ms: float = 1.5  # ms; a shorter interval is a violation; SpikeInterface's default
    min_isi_ms: float = TRAIN_RULES.censored_ms  # ms; no interval of a unit is shorter: they are censored (units-1)


RULES = PropertyRules()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is known of units, from which their properties are made.

    Attributes
    ----------
    traces : Traces
    units : Spikes
    templates : SplitHalfTemplates
    waveforms : (n_units, n_samples, n_channels) float32
        Mean waveforms; `split_half_window` says how many samples stand before their peak.
    main : (n_units,) int64
        Channel of each unit's largest deflection.
    location_um : (n_units, 2) float64
    fits : SpikeFits
        Of the spikes.
    owner : (n_peaks,) int64
        Unit of each peak that was clustered; -1 for none.
    nn_hit_rate : (n_units,) float64
    probability : (n_units, 2) float64 or None
        That a neuron was found, and that at least 0.8 of a unit's spikes are its own, as from `judge`.
    """

    traces: object
    units: object
    templates: object
    waveforms: np.ndarray
    main: np.ndarray
    location_um: np.ndarray
    fits: SpikeFits
    owner: np.ndarray
    nn_hit_rate: np.ndarray
    probability: np.ndarray | None = None

    @property
    def size(self):
        """Give the largest deflection of each mean waveform, (n_units, n_channels)."""
        return np.abs(self.waveforms).max(axis=1)

    def of_each_train(self, function):
        """Apply a function to the spike train of each unit, (n_units,)."""
        return np.array([function(train) for train in self.units.trains()])

    @cached_property
    def isi_violations_ratio(self):
        """Give SpikeInterface's `isi_violations_ratio` of each unit, (n_units,), for the censored intervals of ours."""
        fs, duration_s = self.traces.sampling_frequency, self.traces.duration_s
        limits_s = RULES.isi_threshold_ms / 1000, RULES.min_isi_ms / 1000
        return self.of_each_train(lambda train: isi_violations([train / fs], duration_s, *limits_s)[0])

    @property
    def spike_probability(self):
        """Estimate how probable it is that each spike is of its unit's neuron, (n_spikes,)."""
        of_units = self.templates.norms(), self.nn_hit_rate, self.isi_violations_ratio
        return spike_probabilities(self.fits, self.units, self.traces.sampling_frequency, *of_units)

    def take(self, which) -> "Measured":
        """Take the units of a mask (n_units,), and number them 0 to n - 1."""
        numbers = np.append(np.where(which, np.cumsum(which) - 1, -1), -1)
        of_units = ("waveforms", "main", "location_um", "nn_hit_rate", "probability")
        return replace(
            self,
            units=self.units.without(~which),
            templates=self.templates.take(which),
            fits=self.fits.take(which[self.units.label]),
            owner=numbers[self.owner],
            **{name: getattr(self, name)[which] for name in of_units},
        )

    def properties(self):
        """Give the properties of each unit: those of `PROPERTIES`, and `main_channel_id` and `group`."""
        own = {name: np.asarray(function(self), dtype) for name, (dtype, function) in PROPERTIES.items()}
        return own | channel_properties(self.traces.recording, self.main)

    def to_sorting(self):
        """Give the units as a `NumpySorting` with their properties."""
        return self.units.to_sorting(self.traces.sampling_frequency, self.properties())


def firing_rates(measured):
    """Count the spikes a second of each unit, (n_units,) in Hz."""
    return measured.units.counts() / measured.traces.duration_s


def presence_ratios(measured):
    """Give the fraction of stretches of 10 s in which each unit fires, (n_units,)."""
    traces = measured.traces
    return (count_presence(measured.units, traces.sampling_frequency, traces.n_samples) > 0).mean(axis=1)


def amplitude_cutoffs(measured):
    """Estimate the fraction of each unit's spikes that are too small to be found, (n_units,); NaN under 500 spikes."""
    known = np.isfinite(measured.fits.amplitude)
    amplitudes, labels = measured.fits.amplitude[known], measured.units.label[known]
    return np.array([float(amplitude_cutoff(amplitudes[labels == u])) for u in range(measured.units.n_units)])


PROPERTIES = {  # name: (type, function of `Measured`); one more line is one more property of every sorting
    "huidurep_snr": ("float32", lambda m: (m.size / np.maximum(m.traces.noise_levels, 1e-9)).max(axis=1)),
    "huidurep_amplitude": ("float32", lambda m: m.size.max(axis=1)),  # in units of the preprocessed traces
    "huidurep_template_norm": ("float64", lambda m: m.templates.norms()),  # without the part that noise adds
    "huidurep_num_spikes": ("int64", lambda m: m.units.counts()),
    "huidurep_firing_rate": ("float64", firing_rates),
    "huidurep_isi_violations_ratio": ("float64", lambda m: m.isi_violations_ratio),
    "huidurep_presence_ratio": ("float64", presence_ratios),
    "huidurep_amplitude_cutoff": ("float64", amplitude_cutoffs),
    "huidurep_nn_hit_rate": ("float64", lambda m: m.nn_hit_rate),
    "huidurep_single_unit_probability": ("float64", lambda m: m.probability[:, 1]),
    "huidurep_label": ("U5", lambda m: suggest_labels(m.probability[:, 1])),
    "huidurep_x": ("float64", lambda m: m.location_um[:, 0]),
    "huidurep_y": ("float64", lambda m: m.location_um[:, 1]),
}


@stage("measure")
def measure(traces, units, clusters) -> Measured:
    """Measure units.

    Parameters
    ----------
    traces : Traces
    units : Spikes
        At least one; ordered by sample.
    clusters : Spikes
        The peaks that were clustered, with features.
    """
    array = average_split_half(traces, units)
    waveforms = array.mean(axis=1)
    main = np.abs(waveforms).max(axis=1).argmax(axis=1)
    n_before, _ = split_half_window(traces.sampling_frequency)
    owner = find_owners(traces, units, main, clusters)
    return Measured(
        traces=traces,
        units=units,
        templates=near_main_channel(traces, array, units.counts()),
        waveforms=waveforms,
        main=main,
        location_um=locate_units(traces, waveforms, n_before, main),
        fits=fit_spikes(traces, units, waveforms, n_before, main),
        owner=owner,
        nn_hit_rate=nn_hit_rates(owner, len(main), clusters),
    )


def no_properties(recording):
    """Give the properties of no unit, with their types, so that empty and full sortings can be put together."""
    nothing = {name: np.zeros(0, dtype) for name, (dtype, _) in PROPERTIES.items()}
    return nothing | channel_properties(recording, [])


def channel_properties(recording, main):
    """Give the id and the group of each unit's main channel, of the types that they have in the recording."""
    main = np.asarray(main, dtype="int64")
    return {"main_channel_id": recording.channel_ids[main], "group": np.asarray(recording.get_channel_groups())[main]}


def locate_units(traces, waveforms, n_before, main):
    """Locate units by SpikeInterface's monopolar triangulation, (n_units, 2) in um, from their peaks (units-30)."""
    around = channels_within(traces.recording, RULES.location_radius_um)[main]
    templates = as_templates(traces, waveforms, n_before, np.arange(len(main)))
    sparsity = ChannelSparsity(around, templates.unit_ids, templates.channel_ids)
    options = dict(feature="peak_voltage", optimizer="minimize_with_log_penality")  # twice as fast, as near (units-58)
    return compute_monopolar_triangulation(templates.to_sparse(sparsity), **options)[:, :2]


def nn_hit_rates(owner, n_units, clusters):
    """Give the fraction of the spikes nearest to a unit's, by features on the same channel, that are its own.

    Of a unit with few spikes on a channel only as many neighbours are looked at as it has other spikes there.

    Parameters
    ----------
    owner : (n_peaks,) int64
        Unit of each peak, as `find_owners` gives.
    n_units : int
    clusters : Spikes
        The peaks, with features.

    Returns
    -------
    rates : (n_units,) float
        0 to 1.
    """
    own, seen = np.zeros(n_units), np.zeros(n_units)
    for channel in np.unique(clusters.channel_index):
        here = np.flatnonzero(clusters.channel_index == channel)
        if here.size < 2:
            continue
        k, features = min(RULES.n_neighbours, here.size - 1), clusters.features[here]
        neighbours = NearestNeighbors(n_neighbors=k).fit(features).kneighbors(return_distance=False)
        mine = owner[here] >= 0
        n_others = np.bincount(owner[here][mine], minlength=n_units)[owner[here]] - 1
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
