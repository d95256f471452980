"""Spikes of known templates, each looked for on its template's own channels only.

The algorithm is that of `wobble`, SpikeInterface's engine after the Paninski lab's matching: the best template of each
moment is taken off, shifted by parts of a sample and scaled, again and again, until none explains more than the
threshold. Here what templates and traces have in common is computed on few channels and by FFT, and only what a spike
changed is looked at again, in compiled code. Frequencies are weighed by how little noise they have (templates-42).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import convolve1d
from scipy.signal import resample
from spikeinterface.core.node_pipeline import PeakDetector, run_node_pipeline


@dataclass(frozen=True, kw_only=True)
class LocalMatchingRules:
    """How templates are matched; the values are those of `wobble`."""

    rank: int = 3  # of a template; what lies beyond is mostly noise, and takes time (templates-19)
    threshold: float = 50.0  # noise units squared that a spike must explain; SpikeInterface's default
    n_shifts: int = 8  # parts of a sample; SpikeInterface's default
    refractory_samples: int = 10  # samples around a spike in which its template isn't matched; SpikeInterface's default
    scale_variance: float = 1.0  # of a spike's size over its template's; SpikeInterface's default
    max_rounds: int = 1000  # a limit; SpikeInterface's default
    margin_samples: int = 300  # samples beside a chunk in which templates are matched too; SpikeInterface's default
    block_samples: int = 1024  # samples of a Fourier transform, or four times a template (templates-35)


RULES = LocalMatchingRules()


@dataclass(frozen=True, kw_only=True)
class PreparedTemplates:
    """What is computed of templates once.

    Attributes
    ----------
    n_samples : int
        Of a template.
    channels : (n_templates, most_channels) int64
        Each template's own, first ones; the rest is -1.
    spectrum : (n_templates, most_channels, n_frequencies) complex64
        Of the weighed templates, conjugate, so that a product with that of the traces is their correlation.
    energy : (n_templates,) float32
        Of each template with itself weighed.
    neighbours : (n_templates, most_neighbours) int64
        Templates that share a channel, itself among them; the rest is -1.
    overlaps : (n_templates, n_shifts, most_neighbours, 2 * n_samples - 1) float32
        What a shifted template has in common with each weighed neighbour, by how much later that one begins.
    """

    n_samples: int
    channels: np.ndarray
    spectrum: np.ndarray
    energy: np.ndarray
    neighbours: np.ndarray
    overlaps: np.ndarray

    @classmethod
    def of(cls, templates, inverse_noise, rules=RULES) -> "PreparedTemplates":
        """Prepare SpikeInterface's sparse templates, weighed by a kernel over time."""
        mask, dense = templates.sparsity.mask, templates.get_dense_templates().astype("float32")
        channels, neighbours = pad_indices(mask), pad_indices(mask.astype("float32") @ mask.T > 0)
        own = np.zeros((len(mask), templates.num_samples, channels.shape[1]), dtype="float32")
        for template, indices in enumerate(mask):
            own[template, :, : indices.sum()] = dense[template][:, indices]
        kernel = keep_energy(inverse_noise, own)
        low_rank = approximate(own, rules.rank)
        weighed = convolve1d(low_rank, kernel, axis=1, mode="constant")
        n_fft = max(rules.block_samples, 2 * next_fast_len(2 * templates.num_samples, real=True))
        spectrum = np.conj(rfft(weighed, n_fft, axis=1)).transpose(0, 2, 1)
        return cls(
            n_samples=templates.num_samples,
            channels=channels,
            spectrum=np.ascontiguousarray(spectrum),
            energy=energies(own, kernel),
            neighbours=neighbours,
            overlaps=correlate_pairs(low_rank, weighed, channels, neighbours, rules.n_shifts),
        )


def pad_indices(mask):
    """Give where each row is True, (n_rows, most) int64; the rest is -1."""
    indices = np.full((len(mask), mask.sum(axis=1).max()), -1, dtype="int64")
    for row, values in enumerate(mask):
        indices[row, : values.sum()] = np.flatnonzero(values)
    return indices


def approximate(templates, rank):
    """Keep the largest components of templates, (n_templates, n_samples, n_channels) float32."""
    left, singular, right = np.linalg.svd(templates, full_matrices=False)
    return (left[..., :rank] * singular[:, None, :rank]) @ right[:, :rank]


def energies(templates, kernel):
    """Multiply templates (n_templates, n_samples, n_channels) with themselves weighed by a kernel, (n_templates,)."""
    return (templates * convolve1d(templates, kernel, axis=1, mode="constant")).sum(axis=(1, 2))


def keep_energy(kernel, templates):
    """Scale a kernel so that the median template keeps its energy, and the threshold its meaning."""
    return kernel / np.median(energies(templates, kernel) / energies(templates, np.ones(1)))


def correlate_pairs(templates, weighed, channels, neighbours, n_shifts):
    """Correlate each template, shifted by parts of a sample, with weighed neighbours: `PreparedTemplates.overlaps`."""
    n_templates, n_samples, _ = templates.shape
    n_fft = next_fast_len(2 * n_samples - 1, real=True)
    shifted = resample(templates, n_samples * n_shifts, axis=1).reshape(n_templates, n_samples, n_shifts, -1)
    spectra = np.conj(rfft(weighed, n_fft, axis=1)).transpose(0, 2, 1)  # (n_templates, n_channels, n_frequencies)
    overlaps = np.zeros((n_templates, n_shifts, neighbours.shape[1], 2 * n_samples - 1), dtype="float32")
    for template in range(n_templates):
        own = rfft(shifted[template], n_fft, axis=0).transpose(1, 2, 0)  # (n_shifts, n_channels, n_frequencies)
        known = channels[template][channels[template] >= 0]
        for place, other in enumerate(neighbours[template][neighbours[template] >= 0]):
            _, here, there = np.intersect1d(known, channels[other], return_indices=True)
            found = irfft((own[:, here] * spectra[other][there]).sum(axis=1), n_fft, axis=1)
            overlaps[template, :, place] = np.concatenate([found[:, 1 - n_samples :], found[:, :n_samples]], axis=1)
    return overlaps


class LocalMatching(PeakDetector):
    """A node of SpikeInterface's pipeline that matches prepared templates; see the module.

    It is no `BaseTemplateMatching`, whose import loads PyTorch: 1 s in each worker that isn't forked.

    Parameters
    ----------
    recording : BaseRecording
        In noise units, float32.
    templates : Templates
        Sparse.
    inverse_noise : (n,) float
        Kernel over time by which templates are weighed.
    """

    def __init__(self, recording, templates, inverse_noise):
        super().__init__(recording)
        self.prepared, self.n_before = PreparedTemplates.of(templates, inverse_noise), templates.nbefore

    def get_dtype(self):
        """Give the type of a spike."""
        return np.dtype([("sample_index", "int64"), ("cluster_index", "int64"), ("segment_index", "int64")])

    def get_margin(self):
        """Give the samples beside a chunk that are read."""
        return RULES.margin_samples

    def compute(self, traces, start_frame, end_frame, segment_index, max_margin):
        """Match the templates to a chunk; a spike is where its template's `nbefore` lies."""
        starts, labels = peel(correlate(traces, self.prepared), self.prepared)
        spikes = np.zeros(len(starts), dtype=self.get_dtype())
        spikes["sample_index"], spikes["cluster_index"] = starts + self.n_before, labels
        spikes["segment_index"] = segment_index
        spikes = spikes[np.argsort(spikes["sample_index"], kind="stable")]
        margin = self.get_margin()
        inside = (spikes["sample_index"] >= margin) & (spikes["sample_index"] < len(traces) - margin)
        return (spikes[inside],)


def match_locally(traces, templates):
    """Match templates to all of the traces, as a vector of spikes like that of SpikeInterface's engines."""
    node = LocalMatching(traces.recording, templates, traces.inverse_noise)
    return run_node_pipeline(
        traces.recording, [node], traces.job_kwargs, job_name="match", squeeze_output=True, names=["spikes"]
    )


def correlate(traces, prepared):
    """Correlate traces with each template, (n_templates, n_samples + template_samples - 1) float32.

    Columns are where a template begins, from `template_samples - 1` before the first sample on.
    """
    n_before, n_fft = prepared.n_samples - 1, 2 * (prepared.spectrum.shape[2] - 1)
    step, n_columns = n_fft - n_before, len(traces) + n_before
    starts = range(0, n_columns, step)
    padded = np.zeros((traces.shape[1], starts[-1] + n_fft), dtype="float32")
    padded[:, n_before : n_before + len(traces)] = traces.T
    products = np.empty((len(prepared.energy), starts[-1] + step), dtype="float32")
    for start in starts:  # a block at a time, so that it stays in the processor's cache
        spectrum = rfft(padded[:, start : start + n_fft], axis=1)
        sums = multiply_spectra(spectrum, prepared.spectrum, prepared.channels)
        products[:, start : start + step] = irfft(sums, n_fft, axis=1)[:, :step]
    return products[:, :n_columns]


def peel(products, prepared):
    """Take off the best template of each moment, round by round.

    Parameters
    ----------
    products : (n_templates, n_columns) float32
        As from `correlate`.
    prepared : PreparedTemplates

    Returns
    -------
    starts : (n_spikes,) int64
        Samples at which templates begin.
    labels : (n_spikes,) int64
    """
    n_before = prepared.n_samples - 1
    products = np.ascontiguousarray(products)
    gains = 2 * products - prepared.energy[:, None]  # what each template would explain
    best = gains.max(axis=0)
    interpolation, shift_of, later_by = fine_shifts(RULES.n_shifts)
    starts, labels = [np.zeros(0, dtype="int64")], [np.zeros(0, dtype="int64")]
    for _ in range(RULES.max_rounds):
        peaks = find_peaks(best[n_before : best.size - prepared.n_samples], n_before, RULES.threshold) + n_before
        if len(peaks) == 0:
            break
        found = gains[:, peaks].argmax(axis=0)
        fine, scales = place(products, gains, peaks, found, prepared, interpolation)
        start = peaks + np.where(fine >= 0, later_by[fine], 0) - n_before
        shift = np.where(fine >= 0, shift_of[fine], 0)
        take_off(
            products,
            gains,
            start,
            found,
            shift,
            scales,
            prepared.overlaps,
            prepared.neighbours,
            RULES.refractory_samples,
        )
        update_best(best, gains, np.minimum(start, peaks - n_before), np.maximum(start + 2 * n_before + 1, peaks + 1))
        starts.append(start)
        labels.append(found)
    return np.concatenate(starts), np.concatenate(labels)


def fine_shifts(n_shifts):
    """Say how a value between samples is found, and which shifted template belongs to it.

    Returns
    -------
    interpolation : (n_places, n_around) float32
        Gives the values at places, parts of a sample apart, from those of the samples around a peak.
    shift : (n_places,) int64
        Index of the shifted template.
    later : (n_places,) int64
        Samples by which that template begins later.
    """
    radius = n_shifts // 2 + n_shifts % 2
    around = np.arange(-radius, radius + 1)
    interpolation = resample(np.eye(len(around)), len(around) * n_shifts, axis=0)[radius * n_shifts + around]
    shift = np.concatenate([np.arange(radius, -1, -1), n_shifts - 1 - np.arange(radius)])
    return interpolation.astype("float32"), shift, np.concatenate([[0], np.repeat([0, 1], radius)])


def place(products, gains, peaks, found, prepared, interpolation):
    """Place spikes between samples and scale them.

    Returns
    -------
    fine : (n_spikes,) int64
        Which of the places; -1 beside a spike of the same template.
    scales : (n_spikes,) float32
    """
    radius = interpolation.shape[1] // 2
    around = peaks + np.arange(-radius, radius + 1)[:, None]
    ends = gains[found, around[[0, -1]]]
    free = ~np.isinf(ends).any(axis=0)
    for peak, label in zip(peaks[~free], found[~free], strict=True):
        gains[label, peak - prepared.n_samples + 1 : peak + 1] = -np.inf
    fine, scales = np.full(len(peaks), -1), np.ones(len(peaks), dtype="float32")
    if free.any():
        towards = interpolation @ products[found[free], around[:, free]] + 1 / RULES.scale_variance
        own = prepared.energy[found[free]] + 1 / RULES.scale_variance
        scale = np.maximum(towards / own, 0)
        fine[free] = (2 * scale * towards - scale**2 * own).argmax(axis=0)
        scales[free] = scale[fine[free], np.arange(free.sum())]
    return fine, scales


@njit(cache=True, nogil=True, fastmath=True)
def multiply_spectra(spectrum, own, channels):
    """Sum products of spectra over each template's channels, (n_templates, n_frequencies) complex64.

    Parameters
    ----------
    spectrum : (n_channels, n_frequencies) complex64
        Of the traces.
    own : (n_templates, most_channels, n_frequencies) complex64
    channels : (n_templates, most_channels) int64
        -1 for none.
    """
    n_templates, most, n_frequencies = own.shape
    sums = np.zeros((n_templates, n_frequencies), dtype=np.complex64)
    for template in range(n_templates):
        for place in range(most):
            channel = channels[template, place]
            if channel < 0:
                break
            for frequency in range(n_frequencies):
                sums[template, frequency] += own[template, place, frequency] * spectrum[channel, frequency]
    return sums


@njit(cache=True, nogil=True)
def find_peaks(values, order, threshold):
    """Find values over a threshold that are larger than all within `order` samples, (n_peaks,) int64."""
    peaks = np.empty(values.size, dtype=np.int64)
    n_peaks = 0
    for index in range(1, values.size - 1):
        value = values[index]
        if value <= threshold or value <= values[index - 1] or value <= values[index + 1]:
            continue
        is_peak = True
        for other in range(max(index - order, 0), min(index + order + 1, values.size)):
            if other != index and values[other] >= value:
                is_peak = False
                break
        if is_peak:
            peaks[n_peaks] = index
            n_peaks += 1
    return peaks[:n_peaks].copy()


@njit(cache=True, nogil=True)
def take_off(products, gains, starts, labels, shifts, scales, overlaps, neighbours, refractory):
    """Take spikes off, in place, from the products and gains of the templates beside theirs.

    A spike's own template cannot be matched again within the refractory samples.
    """
    n_columns = overlaps.shape[3]
    middle = n_columns // 2
    for spike in range(starts.size):
        start, label = starts[spike], labels[spike]
        for index in range(neighbours.shape[1]):
            other = neighbours[label, index]
            if other < 0:
                break
            overlap = overlaps[label, shifts[spike], index]
            for column in range(n_columns):
                gains[other, start + column] -= np.float32(2) * overlap[column]
                products[other, start + column] -= scales[spike] * overlap[column]
    for spike in range(starts.size):
        first = starts[spike] + middle - refractory + 1
        gains[labels[spike], first : first + 2 * refractory - 1] = -np.inf
        products[labels[spike], first : first + 2 * refractory - 1] = -np.inf


@njit(cache=True, nogil=True)
def update_best(best, gains, first, last):
    """Compute the largest gain anew, in place, in the columns from each first to each last."""
    for spike in range(first.size):
        start, stop = max(first[spike], 0), min(last[spike], best.size)
        here = best[start:stop]
        here[:] = -np.inf
        for template in range(gains.shape[0]):
            row = gains[template, start:stop]
            for column in range(here.size):
                here[column] = row[column] if row[column] > here[column] else here[column]
