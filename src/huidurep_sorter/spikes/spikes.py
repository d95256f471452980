"""Spikes on their way through the pipeline: one object from the chosen peaks to the sorting."""

from dataclasses import dataclass, fields, replace

import numpy as np
from spikeinterface.core import NumpySorting
from spikeinterface.core.base import minimum_spike_dtype
from spikeinterface.core.node_pipeline import base_peak_dtype


@dataclass(frozen=True, kw_only=True)
class Spikes:
    """Spikes of one segment, with what is known of each so far.

    Attributes
    ----------
    sample_index : (n_spikes,) int64
    channel_index : (n_spikes,) int64
        Channel where the peak is largest; for matched spikes, where their template has most energy.
    label : (n_spikes,) int64
        Cluster, template or unit, 0 to n_units - 1; -1 for none.
    shift : (n_spikes,) int64
        Samples by which the spike was moved since it was detected or matched.
    features : (n_spikes, n_features) float32 or None
    positions_um : (n_spikes, 2) float32 or None
    """

    sample_index: np.ndarray
    channel_index: np.ndarray
    label: np.ndarray
    shift: np.ndarray
    features: np.ndarray | None = None
    positions_um: np.ndarray | None = None

    @classmethod
    def at(cls, sample_index, channel_index, label=-1) -> "Spikes":
        """Build spikes that were not moved yet; a single channel or label stands for all of them."""
        shape = np.shape(sample_index)
        whole = (np.asarray(values, dtype="int64") for values in (sample_index, channel_index, label, 0))
        sample_index, channel_index, label, shift = (np.broadcast_to(values, shape) for values in whole)
        return cls(sample_index=sample_index, channel_index=channel_index, label=label, shift=shift)

    def __len__(self):
        return len(self.label)

    @property
    def n_units(self):
        """Count the labels: the largest label + 1."""
        return int(self.label.max(initial=-1)) + 1

    def counts(self):
        """Count the spikes of each label, (n_units,) int64."""
        return np.bincount(self.label[self.label >= 0], minlength=self.n_units)

    def trains(self):
        """List the samples of each label's spikes, (n,) int64 each; every spike must have a label."""
        order = np.argsort(self.label, kind="stable")
        return np.split(self.sample_index[order], np.cumsum(np.bincount(self.label))[:-1])

    def take(self, which) -> "Spikes":
        """Take some of the spikes, by a mask or by indices."""
        taken = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: values[which] for name, values in taken.items() if values is not None})

    def moved(self, by) -> "Spikes":
        """Move each spike by a number of samples, (n_spikes,) or one for all, and remember it."""
        return replace(self, sample_index=self.sample_index + by, shift=self.shift + by)

    def relabelled(self, label) -> "Spikes":
        """Give each spike another label, (n_spikes,)."""
        return replace(self, label=np.asarray(label, dtype="int64"))

    def compact(self) -> "Spikes":
        """Order the spikes by sample, leave out those without a label, and number the labels 0 to n - 1."""
        kept = np.flatnonzero(self.label >= 0)
        kept = kept[np.lexsort((self.label[kept], self.sample_index[kept]))]
        _, label = np.unique(self.label[kept], return_inverse=True)
        return self.take(kept).relabelled(label)

    def without(self, units) -> "Spikes":
        """Leave out the units of a mask (n_units,), and number the others 0 to n - 1."""
        return self.take(~units[self.label]).compact()

    def within(self, n_samples) -> "Spikes":
        """Leave out spikes that lie beyond a recording of this length."""
        return self.take((self.sample_index >= 0) & (self.sample_index < n_samples))

    def to_peaks(self):
        """Give SpikeInterface's peak vector, (n_spikes,), of the same order; its amplitudes are not known."""
        peaks = np.zeros(len(self), dtype=base_peak_dtype)
        peaks["sample_index"], peaks["channel_index"] = self.sample_index, self.channel_index
        return peaks

    def to_spike_vector(self):
        """Give SpikeInterface's spike vector, (n_spikes,), of the same order."""
        return as_spike_vector(self.sample_index, self.label)

    def to_sorting(self, sampling_frequency, properties=None) -> NumpySorting:
        """Give a sorting with unit ids 0 to n_units - 1.

        Parameters
        ----------
        sampling_frequency : float
            In Hz.
        properties : dict of (n_units,) arrays, optional
        """
        sorting = NumpySorting(self.to_spike_vector(), sampling_frequency, np.arange(self.n_units))
        for name, values in (properties or {}).items():
            sorting.set_property(name, values)
        return sorting


def as_spike_vector(sample_index, label):
    """Give SpikeInterface's spike vector of one segment, (n_spikes,), from samples and labels."""
    spikes = np.zeros(len(sample_index), dtype=minimum_spike_dtype)
    spikes["sample_index"], spikes["unit_index"] = sample_index, label
    return spikes


def concatenate(*parts) -> Spikes:
    """Put spikes one after the other; features and positions are left out."""
    names = ("sample_index", "channel_index", "label", "shift")
    return Spikes(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
