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
    min_learned: int = 10  # spikes in the seconds that are learned from; a limit: of fewer, the unit's others count too
    min_energy: float = 1e-6  # noise units squared; a limit: under it a ratio of energies means nothing


RULES = SplitHalfRules()


@dataclass(frozen=True, kw_only=True)
class SplitHalfTemplates:
    """Templates from every other spike, as coefficients of a common basis over time.

    Attributes
    ----------
    coefficients : (n_units, 2, n_components, n_channels) float64
    shifts : (n_lags, n_components, n_components) float64
        What each lag does to coefficients.
    lags : (n_lags,) int64
        In samples.
    counts : (n_units,) int64
        Spikes.
    """

    coefficients: np.ndarray
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
    """Estimate two templates of each label, from its even and its odd spikes; spikes of label -1 are left out."""
    return near_main_channel(traces, average_split_half(traces, spikes), spikes.counts())


def split_half_window(sampling_frequency):
    """Count the samples of the window before and from the peak, (n_before, n_after)."""
    return tuple(int(round(ms * sampling_frequency / 1000)) for ms in (RULES.ms_before, RULES.ms_after))


def average_split_half(traces, spikes):
    """Average each label's even and odd spikes, (n_units, 2, n_samples, n_channels) float32.

    Of a long recording, those in the seconds that are learned from.
    """
    n_before, n_after = split_half_window(traces.sampling_frequency)
    n_units, spikes = spikes.n_units, spikes.take(are_averaged(traces, spikes))
    kept = np.flatnonzero(spikes.label >= 0)
    order = kept[np.lexsort((spikes.sample_index[kept], spikes.label[kept]))]
    counts = np.bincount(spikes.label[kept], minlength=n_units)
    rank = np.arange(kept.size) - np.repeat(np.cumsum(counts) - counts, counts)
    vector = as_spike_vector(spikes.sample_index[order], 2 * spikes.label[order] + rank % 2)
    vector = vector[np.argsort(vector["sample_index"], kind="stable")]
    array = average_waveforms(traces, vector, 2 * counts.size, n_before, n_after)
    return array.reshape(counts.size, 2, n_before + n_after, -1)


def are_averaged(traces, spikes):
    """Say which spikes mean waveforms are of, (n_spikes,) bool: those learned from; all of a unit with few of them."""
    learned = traces.are_learned_from(spikes.sample_index)
    counts = np.bincount(spikes.label[learned & (spikes.label >= 0)], minlength=spikes.n_units)
    return learned | (counts < RULES.min_learned)[spikes.label]


def near_main_channel(traces, array, counts) -> SplitHalfTemplates:
    """Keep of mean waveforms (n_units, 2, n_samples, n_channels) the channels around each one's largest."""
    max_lag = int(round(RULES.max_lag_ms * traces.sampling_frequency / 1000))
    main = np.ptp(array.mean(axis=1), axis=1).argmax(axis=1)
    around = channels_in_reach(traces)[main]
    return as_split_half(array * around[:, None, None], counts, max_lag)


def as_split_half(array, counts, max_lag) -> SplitHalfTemplates:
    """Express templates (n_units, 2, n_samples, n_channels) in a common basis over time."""
    n_samples = array.shape[2]
    columns = array.mean(axis=1).transpose(1, 0, 2).reshape(n_samples, -1).astype("float64")
    _, vectors = np.linalg.eigh(columns @ columns.T)
    basis = vectors[:, ::-1][:, : RULES.n_time_components]
    lags = np.arange(-max_lag, max_lag + 1)
    shifts = np.stack([_shifted(basis, lag).T @ basis for lag in lags])
    coefficients = np.einsum("tk,uhtc->uhkc", basis, array, optimize=True)
    return SplitHalfTemplates(coefficients=coefficients, shifts=shifts, lags=lags, counts=np.asarray(counts))


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
    energy = (templates.coefficients.mean(axis=1) ** 2).sum(axis=1)
    main = energy.argmax(axis=1)
    return channels_in_reach(traces)[np.ix_(main, main)]


def channels_in_reach(traces):
    """Say which channels are looked at in a template of each main channel, (n_channels, n_channels) bool."""
    return channels_within(traces.recording, RULES.max_distance_um)


def differences(templates, index):
    """Measure how much each unit's template differs from that of one unit, and at which lag.

    Returns
    -------
    difference : (n_units,) float
        Over the norm of the larger of the two.
    lag : (n_units,) int64
        Samples by which the spikes of each would have to be moved to fit those of `index`.
    """
    mean, energy = templates.coefficients.mean(axis=1), energies(templates.coefficients)
    return compare(templates, mean, energy, mean[index], energy[index])


def compare(templates, means, energy, mean, energy_of_mean):
    """Compare as `differences` does, from means (n_units, n_components, n_channels) and their energies."""
    moved = np.einsum("lkj,jc->lkc", templates.shifts, mean)
    product = np.tensordot(means, moved, axes=((1, 2), (1, 2)))
    best = product.argmax(axis=1)
    energy, energy_of_mean = np.maximum(energy, RULES.min_energy), max(energy_of_mean, RULES.min_energy)
    squared = energy + energy_of_mean - 2 * product.max(axis=1)
    difference = np.sqrt(np.maximum(squared, 0) / np.maximum(energy, energy_of_mean))
    return difference, -templates.lags[best]
