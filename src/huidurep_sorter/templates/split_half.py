"""Templates estimated twice, from every other spike, and how much two of them differ.

Templates of few spikes are noisy. The product of two estimates from different spikes is the energy of the template:
noise adds nothing to it on average. Two templates are compared at their best lag, over the norm of the larger one.
"""

from dataclasses import dataclass, replace

import numpy as np

from huidurep_sorter.spikes.spikes import as_spike_vector
from huidurep_sorter.templates.waveforms import average_waveforms
from huidurep_sorter.traces.probe import channels_within


@dataclass(frozen=True, kw_only=True)
class SplitHalfRules:
    """What is compared of two templates."""

    ms_before: float = 0.7  # ms of the window before the peak (templates-29)
    ms_after: float = 1.3  # ms after it (templates-29)
    max_lag_ms: float = 0.5  # ms by which the peaks of one unit's clusters may lie apart (units-29)
    n_time_components: int = 12  # of a common basis over time; what lies beyond is noise (templates-29)
    max_distance_um: float = 120.0  # um from its main channel that a template is looked at (sorters-28, templates-29)
    margin_um: float = 60.0  # um beyond, which are read too: the largest channel may be another one; a limit of memory
    min_learned: int = 10  # spikes in the seconds that are learned from; a limit: of fewer, the unit's others count too
    min_energy: float = 1e-6  # noise units squared; a limit: under it a ratio of energies means nothing


RULES = SplitHalfRules()


@dataclass(frozen=True, kw_only=True)
class SplitHalfTemplates:
    """Templates from every other spike, as coefficients of a common basis over time.

    Attributes
    ----------
    coefficients : (n_units, 2, n_components, n_channels) float64
    basis : (n_samples, n_components) float64
        Over the window of `split_half_window`.
    shifts : (n_lags, n_components, n_components) float64
        What each lag does to coefficients.
    lags : (n_lags,) int64
        In samples.
    counts : (n_units,) int64
        Spikes.
    """

    coefficients: np.ndarray
    basis: np.ndarray
    shifts: np.ndarray
    lags: np.ndarray
    counts: np.ndarray

    def take(self, which):
        """Take some of the units, by a mask or by indices."""
        return replace(self, coefficients=self.coefficients[which], counts=self.counts[which])

    def norms(self):
        """Give the norm of each template in units of noise, without the part that noise adds, (n_units,)."""
        return np.sqrt(np.maximum(energies(self.coefficients), 0))


def estimate_split_half(traces, spikes) -> SplitHalfTemplates:
    """Estimate two templates of each label, from its even and its odd spikes; spikes of label -1 are left out.

    Where the channel of each spike is known, only those in reach of it and around are read: of thousands of clusters on
    hundreds of channels the others would not fit into memory.
    """
    channels = channels_to_read(traces, spikes)
    return keep_near_main(traces, average_split_half(traces, spikes, channels), channels, spikes.counts())


def channels_to_read(traces, spikes):
    """List the channels on which each label is looked at, (n_units, n_near) int64; -1 fills up."""
    n_channels, kept = len(traces.shanks), spikes.label >= 0
    if (spikes.channel_index[kept] < 0).any():
        return np.tile(np.arange(n_channels), (spikes.n_units, 1))
    peaks = np.zeros((spikes.n_units, n_channels), dtype="int64")
    np.add.at(peaks, (spikes.label[kept], spikes.channel_index[kept]), 1)
    mask = channels_within(traces.recording, RULES.max_distance_um + RULES.margin_um)[peaks.argmax(axis=1)]
    channels = np.where(mask, np.arange(n_channels), n_channels)
    channels = np.sort(channels, axis=1)[:, : max(mask.sum(axis=1).max(initial=1), 1)]
    return np.where(channels < n_channels, channels, -1)


def split_half_window(sampling_frequency):
    """Count the samples of the window before and from the peak, (n_before, n_after)."""
    return tuple(int(round(ms * sampling_frequency / 1000)) for ms in (RULES.ms_before, RULES.ms_after))


def average_split_half(traces, spikes, channels=None):
    """Average each label's even and odd spikes, (n_units, 2, n_samples, n_channels) float32.

    Of a long recording, those in the seconds that are learned from.

    Parameters
    ----------
    traces : Traces
    spikes : Spikes
    channels : (n_units, n_near) int64, optional
        As from `channels_to_read`: averages only these, in this order. By default all channels.
    """
    n_before, n_after = split_half_window(traces.sampling_frequency)
    n_units, spikes = spikes.n_units, spikes.take(are_averaged(traces, spikes))
    kept = np.flatnonzero(spikes.label >= 0)
    order = kept[np.lexsort((spikes.sample_index[kept], spikes.label[kept]))]
    counts = np.bincount(spikes.label[kept], minlength=n_units)
    rank = np.arange(kept.size) - np.repeat(np.cumsum(counts) - counts, counts)
    vector = as_spike_vector(spikes.sample_index[order], 2 * spikes.label[order] + rank % 2)
    vector = vector[np.argsort(vector["sample_index"], kind="stable")]
    mask = None if channels is None else np.repeat(as_mask(channels, len(traces.shanks)), 2, axis=0)
    array = average_waveforms(traces, vector, 2 * counts.size, n_before, n_after, mask)
    return array.reshape(counts.size, 2, n_before + n_after, -1)


def as_mask(channels, n_channels):
    """Say which channels are listed, (n_units, n_channels) bool."""
    mask = np.zeros((len(channels), n_channels + 1), dtype=bool)
    np.put_along_axis(mask, channels, True, axis=1)  # -1 is the last column
    return mask[:, :-1]


def are_averaged(traces, spikes):
    """Say which spikes mean waveforms are of, (n_spikes,) bool: those learned from; all of a unit with few of them."""
    learned = traces.are_learned_from(spikes.sample_index)
    counts = np.bincount(spikes.label[learned & (spikes.label >= 0)], minlength=spikes.n_units)
    return learned | (counts < RULES.min_learned)[spikes.label]


def near_main_channel(traces, array, counts) -> SplitHalfTemplates:
    """Keep of mean waveforms (n_units, 2, n_samples, n_channels) the channels around each one's largest."""
    return keep_near_main(traces, array, np.tile(np.arange(array.shape[-1]), (len(array), 1)), counts)


def keep_near_main(traces, array, channels, counts) -> SplitHalfTemplates:
    """Keep of mean waveforms on some channels, (n_units, 2, n_samples, n_near), those around each one's largest."""
    max_lag = int(round(RULES.max_lag_ms * traces.sampling_frequency / 1000))
    size = np.where(channels >= 0, np.ptp(array.mean(axis=1), axis=1), -1.0)
    main = np.take_along_axis(channels, size.argmax(axis=1)[:, None], axis=1)[:, 0]
    around = np.take_along_axis(channels_in_reach(traces)[main], np.maximum(channels, 0), axis=1) & (channels >= 0)
    return as_split_half(array * around[:, None, None], counts, max_lag, channels, len(traces.shanks))


def as_split_half(array, counts, max_lag, channels=None, n_channels=None) -> SplitHalfTemplates:
    """Express templates in a common basis over time.

    Parameters
    ----------
    array : (n_units, 2, n_samples, n_near) float
    counts : (n_units,) int
    max_lag : int
    channels : (n_units, n_near) int64, optional
        Which these are of `n_channels`, -1 for none; by default all, in their order.
    n_channels : int, optional
    """
    n_units, _, n_samples, n_near = array.shape
    channels = np.tile(np.arange(n_near), (n_units, 1)) if channels is None else channels
    n_channels = n_near if n_channels is None else n_channels
    columns = array.mean(axis=1).transpose(1, 0, 2).reshape(n_samples, -1).astype("float64")
    _, vectors = np.linalg.eigh(columns @ columns.T)
    basis = vectors[:, ::-1][:, : RULES.n_time_components]
    lags = np.arange(-max_lag, max_lag + 1)
    shifts = np.stack([_shifted(basis, lag).T @ basis for lag in lags])
    coefficients = np.zeros((n_units, 2, basis.shape[1], n_channels))
    for unit, here in enumerate(channels):
        known = here >= 0
        coefficients[unit][:, :, here[known]] = basis.T @ array[unit][:, :, known].astype("float64")
    return SplitHalfTemplates(
        coefficients=coefficients, basis=basis, shifts=shifts, lags=lags, counts=np.asarray(counts)
    )


def _shifted(basis, lag):
    """Delay the basis over time by `lag` samples."""
    out = np.zeros_like(basis)
    if lag >= 0:
        out[lag:] = basis[: len(basis) - lag]
    else:
        out[:lag] = basis[-lag:]
    return out


def energies(coefficients):
    """Multiply the two halves of templates (..., 2, n_components, n_channels): their energy, without noise's."""
    return (coefficients[..., 0, :, :] * coefficients[..., 1, :, :]).sum(axis=(-2, -1))


def are_near(traces, templates):
    """Say which units are of one shank and have near main channels, (n_units, n_units) bool (units-11)."""
    main = main_channels(templates)
    return channels_in_reach(traces)[np.ix_(main, main)]


def main_channels(templates):
    """Find the channel on which each template has most energy, (n_units,) int64."""
    return (templates.coefficients.mean(axis=1) ** 2).sum(axis=1).argmax(axis=1)


def channels_in_reach(traces):
    """Say which channels are looked at in a template of each main channel, (n_channels, n_channels) bool."""
    return channels_within(traces.recording, RULES.max_distance_um)


def differences(templates, index, others=slice(None)):
    """Measure how much the templates of some units, all by default, differ from that of one, and at which lag.

    Returns
    -------
    difference : (n_others,) float
        Over the norm of the larger of the two.
    lag : (n_others,) int64
        Samples by which the spikes of each would have to be moved to fit those of `index`.
    """
    own, theirs = templates.coefficients[index], templates.coefficients[others]
    seen = np.flatnonzero(own.any(axis=(0, 1)))  # on no other channel do they have anything in common
    means, mean = theirs[..., seen].mean(axis=1), own[..., seen].mean(axis=0)
    return compare(templates, means, energies(theirs), mean, energies(own))


def compare(templates, means, energy, mean, energy_of_mean):
    """Compare as `differences` does, from means (n_units, n_components, n_channels) and their energies."""
    moved = np.einsum("lkj,jc->lkc", templates.shifts, mean)
    product = np.tensordot(means, moved, axes=((1, 2), (1, 2)))
    best = product.argmax(axis=1)
    energy, energy_of_mean = np.maximum(energy, RULES.min_energy), max(energy_of_mean, RULES.min_energy)
    squared = energy + energy_of_mean - 2 * product.max(axis=1)
    difference = np.sqrt(np.maximum(squared, 0) / np.maximum(energy, energy_of_mean))
    return difference, -templates.lags[best]
