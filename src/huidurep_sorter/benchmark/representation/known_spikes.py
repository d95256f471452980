"""Read true spikes as a detector would have found them, with what the scores must know of each."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from spikeinterface.core import load

from huidurep_sorter.benchmark.collisions import close_units, pairs_of_spikes
from huidurep_sorter.traces.preprocessing import preprocess
from huidurep_sorter.training.known_spikes import at_most, main_channels, peaks_near

MIN_SPIKES = 40
SPIKES_PER_UNIT = 200
COLLISION_MS = 1.0
MARGIN = 200  # samples at both ends of the recording whose spikes are left out


@dataclass(frozen=True, kw_only=True)
class KnownSpikes:
    """Hold true spikes of a recording, and the peaks that a detector would have made of them.

    Attributes
    ----------
    recording : BaseRecording
        Preprocessed, of one segment.
    peaks : structured array (n,)
        In the order of time.
    sample_index : (n,) int64
        The true time. The peak is where the traces are deepest near it.
    unit : (n,) int64
        Index into `unit_ids`.
    unit_ids : (n_units,)
    location_um : (n, 2) float64
        Of the main channel of the spike's unit.
    snr : (n,) float64
        Of the spike's unit.
    collides : (n,) bool
        Another unit's spike is within 1 ms and 100 um.
    """

    recording: object
    peaks: np.ndarray
    sample_index: np.ndarray
    unit: np.ndarray
    unit_ids: np.ndarray
    location_um: np.ndarray
    snr: np.ndarray
    collides: np.ndarray

    def take(self, indices):
        """Return some of the spikes."""
        fields = ("peaks", "sample_index", "unit", "location_um", "snr", "collides")
        return replace(self, **{name: getattr(self, name)[indices] for name in fields})


def read_known_spikes(folder) -> KnownSpikes:
    """Read `folder/recording` and `folder/sorting`, and leave out units of too few spikes.

    Raises
    ------
    ValueError
        If the recording has several segments, or no unit has enough spikes.
    """
    recording, sorting = load(Path(folder) / "recording"), load(Path(folder) / "sorting")
    if recording.get_num_segments() != 1:
        raise ValueError(f"{folder}: the benchmark takes recordings of one segment")
    whitened = preprocess(recording).save(format="memory", progress_bar=False, verbose=False)
    spikes = sorting.to_spike_vector()
    main = main_channels(whitened, spikes, len(sorting.unit_ids))
    location_um = recording.get_channel_locations()[main, :2]
    sample, unit = spikes["sample_index"], spikes["unit_index"]
    inside = (sample > MARGIN) & (sample < recording.get_num_samples(0) - MARGIN)
    enough = np.bincount(unit[inside], minlength=len(main)) >= MIN_SPIKES
    if not enough.any():
        raise ValueError(f"{folder}: no unit has {MIN_SPIKES} spikes")
    kept = inside & enough[unit]
    sample, unit = sample[kept], unit[kept]
    peaks = peaks_near(whitened, sample, main[unit], np.ones(len(unit), dtype=bool))
    known = KnownSpikes(
        recording=whitened,
        peaks=peaks,
        sample_index=sample,
        unit=unit,
        unit_ids=sorting.unit_ids,
        location_um=location_um[unit],
        snr=_unit_snr(sorting, whitened, peaks, unit)[unit],
        collides=_collides(sorting, location_um)[kept],
    )
    return known.take(np.argsort(peaks["sample_index"], kind="stable"))


def _unit_snr(sorting, whitened, peaks, unit):
    """Return the sorting's property `snr`, or else the mean depth of the peaks in units of noise; (n_units,)."""
    snr = sorting.get_property("snr")
    if snr is not None:
        return np.asarray(snr, dtype="float64")
    depth = -whitened.get_traces()[peaks["sample_index"], peaks["channel_index"]]
    n_units = len(sorting.unit_ids)
    return np.bincount(unit, depth, n_units) / np.maximum(np.bincount(unit, minlength=n_units), 1)


def _collides(sorting, location_um):
    """Tell which spikes of `sorting.to_spike_vector()` have another unit's near them in time and space."""
    max_lag = COLLISION_MS * sorting.sampling_frequency / 1000
    first, second, _ = pairs_of_spikes(sorting, close_units(location_um), max_lag)
    out = np.zeros(len(sorting.to_spike_vector()), dtype=bool)
    out[first] = out[second] = True
    return out


def draw_spikes(known: KnownSpikes, spikes_per_unit=SPIKES_PER_UNIT, seed=0):
    """Draw at most so many spikes of each unit, and return their indices in the order of time."""
    spikes = np.zeros(len(known.unit), dtype=[("unit_index", "int64"), ("index", "int64")])
    spikes["unit_index"], spikes["index"] = known.unit, np.arange(len(known.unit))
    return at_most(spikes, spikes_per_unit, np.random.default_rng(seed))["index"]
