"""Clusters of one unit brought together, by the distance of their templates.

Clustering channel by channel splits a unit that peaks on several channels, bursts or straddles sample times. Two
clusters are one unit if, at their best lag, their templates differ by little of their own size. Templates of few
spikes are noisy; so each is estimated twice, from every other spike, and its energy is the product of the two halves,
to which noise adds nothing on average.
"""

from dataclasses import dataclass, replace

import numpy as np

from huidurep_sorter.templates.estimation import as_spike_vector, average_waveforms
from huidurep_sorter.traces.snippets import channels_within

WINDOW_MS = (0.7, 1.3)
MAX_LAG_MS = 0.5
N_TIME_COMPONENTS = 12
MAX_DISTANCE_UM = 120.0
MIN_ENERGY = 1e-6


@dataclass(frozen=True, kw_only=True)
class HalfTemplates:
    """Templates from every other spike, as coefficients of a common basis over time.

    Attributes
    ----------
    coefficients : (n_clusters, 2, n_components, n_channels) float64
    shifts : (n_lags, n_components, n_components) float64
        What each lag does to coefficients.
    lags : (n_lags,) int64
        In samples.
    counts : (n_clusters,) int64
    """

    coefficients: np.ndarray
    shifts: np.ndarray
    lags: np.ndarray
    counts: np.ndarray

    def select(self, mask):
        """Those of the clusters of the mask."""
        return replace(self, coefficients=self.coefficients[mask], counts=self.counts[mask])


def merge_clusters(recording, peaks, labels, max_difference, job_kwargs=None):
    """Merge clusters whose templates are nearly the same.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    peaks : structured array (n_peaks,)
    labels : (n_peaks,) int64
        0 to n_clusters - 1, -1 for none.
    max_difference : float
        Norm of the difference of two templates of one unit, at most, over the norm of the larger.
    job_kwargs : dict, optional

    Returns
    -------
    labels : (n_peaks,) int64
        0 to n_units - 1, -1 for none.
    peak_shifts : (n_peaks,) int64
        Samples to add to each peak, so that those of one unit are aligned.
    """
    n_clusters = labels.max(initial=-1) + 1
    if n_clusters < 2:
        return labels, np.zeros(len(labels), dtype="int64")
    halves = estimate_halves(recording, peaks["sample_index"], labels, job_kwargs)
    allowed = are_near(recording, halves)
    groups, shifts = agglomerate(halves, allowed, max_difference)
    return relabel(labels, groups, shifts)


def relabel(labels, groups, shifts):
    """Labels and sample shifts of peaks, from the group and the shift of each cluster."""
    _, groups = np.unique(groups, return_inverse=True)
    kept = labels >= 0
    new_labels = np.where(kept, groups[labels], -1)
    return new_labels, np.where(kept, shifts[labels], 0)


def estimate_halves(recording, sample_index, labels, job_kwargs=None) -> HalfTemplates:
    """Two templates of each cluster, from its even and its odd spikes; those of label -1 are left out."""
    array = average_halves(recording, sample_index, labels, job_kwargs)
    return near_halves(recording, array, np.bincount(labels[labels >= 0]))


def average_halves(recording, sample_index, labels, job_kwargs=None):
    """Mean waveforms of each cluster's even and odd spikes, (n_clusters, 2, n_samples, n_channels) float32."""
    n_before, n_after = (int(round(ms * recording.sampling_frequency / 1000)) for ms in WINDOW_MS)
    kept = np.flatnonzero(labels >= 0)
    order = kept[np.lexsort((sample_index[kept], labels[kept]))]
    counts = np.bincount(labels[kept])
    rank = np.arange(kept.size) - np.repeat(np.cumsum(counts) - counts, counts)
    spikes = as_spike_vector(sample_index[order], 2 * labels[order] + rank % 2)
    spikes = spikes[np.argsort(spikes["sample_index"], kind="stable")]
    array = average_waveforms(recording, spikes, 2 * counts.size, n_before, n_after, job_kwargs)
    return array.reshape(counts.size, 2, n_before + n_after, -1)


def near_halves(recording, array, counts) -> HalfTemplates:
    """From the mean waveforms of halves, on the channels around each cluster."""
    max_lag = int(round(MAX_LAG_MS * recording.sampling_frequency / 1000))
    return as_halves(array * channels_around(recording, array)[:, None, None], counts, max_lag)


def channels_around(recording, array):
    """(n_clusters, n_channels) bool: the channels of the shank within `MAX_DISTANCE_UM` of the largest."""
    main = np.ptp(array.mean(axis=1), axis=1).argmax(axis=1)
    return channels_within(recording, MAX_DISTANCE_UM)[main]


def as_halves(array, counts, max_lag) -> HalfTemplates:
    """From templates (n_clusters, 2, n_samples, n_channels)."""
    n_samples = array.shape[2]
    columns = array.mean(axis=1).transpose(1, 0, 2).reshape(n_samples, -1).astype("float64")
    _, vectors = np.linalg.eigh(columns @ columns.T)
    basis = vectors[:, ::-1][:, :N_TIME_COMPONENTS]
    lags = np.arange(-max_lag, max_lag + 1)
    shifts = np.stack([_shifted(basis, lag).T @ basis for lag in lags])
    coefficients = np.einsum("tk,uhtc->uhkc", basis, array, optimize=True)
    return HalfTemplates(coefficients=coefficients, shifts=shifts, lags=lags, counts=np.asarray(counts))


def _shifted(basis, lag):
    """The basis over time, delayed by `lag` samples."""
    out = np.zeros_like(basis)
    if lag >= 0:
        out[lag:] = basis[: len(basis) - lag]
    else:
        out[:lag] = basis[-lag:]
    return out


def template_norms(halves):
    """Norm of each template in units of noise, without the part that noise adds, (n_units,)."""
    return np.sqrt(np.maximum(energies(halves.coefficients), 0))


def energies(coefficients):
    """Energy of templates (..., 2, n_components, n_channels), the product of their halves: noise adds nothing to it."""
    return (coefficients[..., 0, :, :] * coefficients[..., 1, :, :]).sum(axis=(-2, -1))


def are_near(recording, halves):
    """(n_clusters, n_clusters) bool: of the same shank and with near main channels."""
    energy = (halves.coefficients.mean(axis=1) ** 2).sum(axis=1)
    main = energy.argmax(axis=1)
    return channels_within(recording, MAX_DISTANCE_UM)[np.ix_(main, main)]


def differences(halves, index):
    """How much each cluster's template differs from that of one cluster, and at which lag.

    Returns
    -------
    difference : (n_clusters,) float
        Over the norm of the larger of the two.
    lag : (n_clusters,) int64
        Samples by which the spikes of each would have to be moved to fit those of `index`.
    """
    mean, energy = halves.coefficients.mean(axis=1), energies(halves.coefficients)
    return compare(halves, mean, energy, mean[index], energy[index])


def compare(halves, templates, energy, template, energy_of_template):
    """As `differences`, from templates (n_clusters, n_components, n_channels) and their energies."""
    moved = np.einsum("lkj,jc->lkc", halves.shifts, template)
    product = np.tensordot(templates, moved, axes=((1, 2), (1, 2)))
    best = product.argmax(axis=1)
    energy, energy_of_template = np.maximum(energy, MIN_ENERGY), max(energy_of_template, MIN_ENERGY)
    squared = energy + energy_of_template - 2 * product.max(axis=1)
    difference = np.sqrt(np.maximum(squared, 0) / np.maximum(energy, energy_of_template))
    return difference, -halves.lags[best]


def agglomerate(halves, allowed, max_difference):
    """Merge the two most similar clusters until none are similar enough.

    Returns
    -------
    groups : (n_clusters,) int64
        Index of a cluster that stands for the group.
    shifts : (n_clusters,) int64
        Samples to add to the spikes of each cluster.
    """
    n = len(halves.counts)
    coefficients, counts, allowed = halves.coefficients.copy(), halves.counts.astype("float64"), allowed.copy()
    templates, energy = coefficients.mean(axis=1), energies(coefficients)
    np.fill_diagonal(allowed, False)
    groups, shifts = np.arange(n), np.zeros(n, dtype="int64")
    difference, lag = np.full((n, n), np.inf), np.zeros((n, n), dtype="int64")
    least = np.full(n, np.inf)  # of each row of `difference`

    def update(index):
        others, channels = np.flatnonzero(allowed[index]), templates[index].any(axis=0)
        template = templates[index][:, channels]
        row, row_lag = compare(halves, templates[others][..., channels], energy[others], template, energy[index])
        difference[index, others], lag[index, others] = row, row_lag
        difference[others, index], lag[others, index] = row, -row_lag
        changed = [*others, index]
        least[changed] = difference[changed].min(axis=1)

    for index in range(n):
        update(index)
    while True:
        a = least.argmin()
        b = difference[a].argmin()
        if not difference[a, b] < max_difference:
            return groups, shifts
        if counts[a] < counts[b]:
            a, b = b, a
        move = lag[a, b]
        shift_matrix = halves.shifts[np.flatnonzero(halves.lags == move)[0]]
        moved = np.einsum("kj,hjc->hkc", shift_matrix, coefficients[b])
        coefficients[a] = (counts[a] * coefficients[a] + counts[b] * moved) / (counts[a] + counts[b])
        counts[a] += counts[b]
        templates[a], energy[a] = coefficients[a].mean(axis=0), energies(coefficients[a])
        unite(groups, shifts, a, b, move)
        others = np.flatnonzero(allowed[b])
        allowed[b], allowed[:, b] = False, False
        difference[b], difference[:, b] = np.inf, np.inf
        least[b], least[others] = np.inf, difference[others].min(axis=1)
        update(a)


def unite(groups, shifts, a, b, lag):
    """Put the group of b into the group of a, in place; `lag` is what to add to b's spikes so that they fit a's."""
    members = groups == groups[b]
    shifts[members] += shifts[a] + lag - shifts[b]
    groups[members] = groups[a]
