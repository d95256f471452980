"""Spikes with labels, on their way to a sorting."""

from dataclasses import dataclass

import numpy as np

PRESENCE_BIN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Units:
    """Spikes with labels.

    Attributes
    ----------
    sample_index, label : (n_spikes,) int64
        Ordered by sample.
    """

    sample_index: np.ndarray
    label: np.ndarray

    def __len__(self):
        return len(self.label)

    def trains(self):
        """Samples of each unit's spikes, a list of (n,) int64."""
        order = np.argsort(self.label, kind="stable")
        return np.split(self.sample_index[order], np.cumsum(np.bincount(self.label))[:-1])

    def select(self, mask):
        """The spikes of the mask."""
        return Units(sample_index=self.sample_index[mask], label=self.label[mask])


def make_units(sample_index, label):
    """Units from spikes in any order, labels made 0 to n - 1, those of -1 left out."""
    kept = np.flatnonzero(label >= 0)
    order = kept[np.lexsort((label[kept], sample_index[kept]))]
    _, label = np.unique(label[order], return_inverse=True)
    return Units(sample_index=sample_index[order].astype("int64"), label=label)


def inside(recording, units):
    """Spikes within the recording only."""
    return units.select((units.sample_index >= 0) & (units.sample_index < recording.get_total_samples()))


def drop(units, bad):
    """Units without those of the mask (n_units,)."""
    kept = ~bad[units.label]
    return make_units(units.sample_index[kept], units.label[kept])


def count_presence(recording, units):
    """Spikes of each unit in each stretch of `PRESENCE_BIN_S`, (n_units, n_bins) int64."""
    bin_size = PRESENCE_BIN_S * recording.sampling_frequency
    n_bins = int(np.ceil(recording.get_total_samples() / bin_size))
    n_units = units.label.max(initial=-1) + 1
    place = units.label * n_bins + (units.sample_index // bin_size).astype("int64")
    return np.bincount(place, minlength=n_units * n_bins).reshape(n_units, n_bins)
