"""SpikeInterface's matched filter in compiled code that needs little memory; and several detectors in one pass.

The traces are convolved with a prototype spike and summed over near channels, with weights for sources at several
distances from the probe. A peak is where the best of these sums is over its noise, and largest in space and time.

SpikeInterface's detectors set ours up, in `detection`. What runs in workers is here, and imports nothing of their
package, which loads PyTorch: 1 s in each worker that isn't forked.
"""

import numpy as np
from numba import njit
from spikeinterface.core.node_pipeline import PeakDetector, base_peak_dtype

VALUES_PER_CHUNK = 2048  # samples of each channel that are convolved at once, and stay in the processor's cache


class MatchedFilter(PeakDetector):
    """Detects the peaks of SpikeInterface's `MatchedFilteringPeakDetector`.

    Parameters
    ----------
    recording : BaseRecording
    setup : MatchedFilteringPeakDetector
        With its parameters, weights and thresholds.
    """

    def __init__(self, recording, setup):
        super().__init__(recording, return_output=True)
        self.prototype, self.weights, self.abs_thresholds = setup.prototype, setup.weights, setup.abs_thresholds
        self.num_channels, self.num_templates = setup.num_channels, setup.num_templates
        self.neighbours_mask, self.exclude_sweep_size = setup.neighbours_mask, setup.exclude_sweep_size
        self.nbefore, self.conv_margin = setup.nbefore, setup.conv_margin
        self._margin, self._dtype = setup.get_margin(), setup.get_dtype()

    def get_dtype(self):
        """Give the type of a peak."""
        return self._dtype

    def get_margin(self):
        """Give the samples that are needed beside a chunk."""
        return self._margin

    def compute(self, traces, start_frame, end_frame, segment_index, max_margin):
        """Find the peaks of a chunk, a structured array (n_peaks,), as SpikeInterface asks for."""
        margin, n_samples = self.conv_margin, len(traces) - len(self.prototype) + 1
        rows, samples, ratios = self.find_candidates(traces, margin, n_samples - margin)
        z_index, channels = np.divmod(rows, self.num_templates)
        channels %= self.num_channels  # of two signs, those of the other follow
        sweep = self.exclude_sweep_size
        kept = are_largest(samples, channels, z_index, ratios, sweep, self.neighbours_mask)
        kept &= (samples > margin + sweep) & (samples < n_samples - margin - sweep - 1)
        peaks = np.zeros(kept.sum(), dtype=self.get_dtype())
        peaks["sample_index"], peaks["channel_index"] = samples[kept] + self.nbefore, channels[kept]
        peaks["amplitude"] = traces[peaks["sample_index"], peaks["channel_index"]]
        peaks["segment_index"], peaks["z"] = segment_index, z_index[kept]
        return (peaks,)

    def find_candidates(self, traces, first, last):
        """Find the local maxima over their threshold between two samples, which are none themselves.

        Returns
        -------
        rows, samples : (n,) int64
            Ordered by sample.
        ratios : (n,) float32
            Over the threshold.
        """
        thresholds, parts = self.abs_thresholds.ravel().astype("float32"), []
        weights = self.weights.indptr, self.weights.indices, self.weights.data
        for start, part in cut(
            traces, len(self.prototype), first, last - 2, n_more=2
        ):  # the ends of a part are no maxima
            rows, samples, ratios = find_maxima(part, kernel_of(self.prototype), *weights, thresholds)
            parts.append((rows, samples + start, ratios))
        if not parts:
            return np.zeros(0, "int64"), np.zeros(0, "int64"), np.zeros(0, "float32")
        rows, samples, ratios = map(np.concatenate, zip(*parts, strict=True))
        order = np.lexsort((rows, samples))
        return rows[order], samples[order], ratios[order]


class ThresholdDetector(PeakDetector):
    """Detects the peaks of SpikeInterface's `LocallyExclusivePeakDetector`.

    Parameters
    ----------
    recording : BaseRecording
    setup : LocallyExclusivePeakDetector
        With its parameters.
    """

    def __init__(self, recording, setup):
        super().__init__(recording, return_output=True)
        self.thresholds, self.peak_sign = setup.abs_thresholds.astype("float32"), setup.peak_sign
        self.neighbours_mask, self.exclude_sweep_size = setup.neighbours_mask, setup.exclude_sweep_size

    def get_dtype(self):
        """Give the type of a peak."""
        return np.dtype(base_peak_dtype)

    def get_margin(self):
        """Give the samples that are needed beside a chunk."""
        return self.exclude_sweep_size + 1

    def compute(self, traces, start_frame, end_frame, segment_index, max_margin):
        """Find the peaks of a chunk, a structured array (n_peaks,), as SpikeInterface asks for."""
        signs = self.peak_sign in ("neg", "both"), self.peak_sign in ("pos", "both")
        samples, channels = find_extrema(traces, self.thresholds, *signs)
        ratios = np.abs(traces[samples, channels]) / self.thresholds[channels]
        kept = are_largest(
            samples, channels, np.zeros_like(samples), ratios, self.exclude_sweep_size, self.neighbours_mask
        )
        kept &= (samples >= self.get_margin()) & (samples < len(traces) - self.get_margin())
        peaks = np.zeros(kept.sum(), dtype=self.get_dtype())
        peaks["sample_index"], peaks["channel_index"] = samples[kept], channels[kept]
        peaks["amplitude"], peaks["segment_index"] = traces[samples[kept], channels[kept]], segment_index
        return (peaks,)


def convolve(traces, prototype, weights, step=1):
    """Convolve traces with a prototype and sum over channels, (n_rows, n_columns) float32.

    Parameters
    ----------
    traces : (n_samples, n_channels) float32
    prototype : (n_taps,) float
    weights : csr_matrix
        (n_rows, n_channels)
    step : int, default: 1
        Of the n_samples - n_taps + 1 columns only every so many are computed; a divisor of `VALUES_PER_CHUNK`.
    """
    n_samples = len(traces) - len(prototype) + 1
    summed = np.empty((weights.shape[0], -(-n_samples // step)), dtype="float32")
    for start, part in cut(traces, len(prototype), 0, n_samples):
        filtered = np.ascontiguousarray(correlate_channels(part, kernel_of(prototype))[:, ::step])
        for row in range(len(summed)):
            here = slice(*weights.indptr[row : row + 2])
            out = summed[row, start // step : start // step + filtered.shape[1]]
            sum_channels(out, filtered, weights.indices[here], weights.data[here])
    return summed


def kernel_of(prototype):
    """Give a prototype as it is convolved, from its first sample."""
    return np.ascontiguousarray(prototype[::-1], dtype="float32")


def cut(traces, n_taps, first, last, n_more=0):
    """Cut what is needed to convolve samples `first` to `last`, and so many more, into parts that fit a cache."""
    for start in range(first, last, VALUES_PER_CHUNK):
        stop = min(start + VALUES_PER_CHUNK, last) + n_more
        yield start, np.ascontiguousarray(traces[start : stop + n_taps - 1].T, dtype="float32")


def correlate_channels(traces, kernel):
    """Correlate each channel with a kernel, (n_channels, n_samples - len(kernel) + 1) float32."""
    filtered = np.zeros((len(traces), traces.shape[1] - len(kernel) + 1), dtype="float32")
    correlate_each(filtered, traces, kernel)
    return filtered


@njit(cache=True, nogil=True)
def correlate_each(out, traces, kernel):
    """Add to each row of `out` the correlation of a channel with a kernel."""
    for channel in range(len(traces)):
        correlate(out[channel], traces[channel], kernel)


@njit(cache=True, nogil=True, fastmath=True)
def correlate(out, values, kernel):
    """Add to `out` the correlation of values with a kernel, four of its samples at once."""
    n, n_taps = len(out), len(kernel)
    for tap in range(0, n_taps - n_taps % 4, 4):
        a, b, c, d = kernel[tap], kernel[tap + 1], kernel[tap + 2], kernel[tap + 3]
        v0, v1, v2, v3 = values[tap:], values[tap + 1 :], values[tap + 2 :], values[tap + 3 :]
        for i in range(n):
            out[i] += a * v0[i] + b * v1[i] + c * v2[i] + d * v3[i]
    for tap in range(n_taps - n_taps % 4, n_taps):
        for i in range(n):
            out[i] += kernel[tap] * values[i + tap]


@njit(cache=True, nogil=True, fastmath=True)
def sum_channels(out, filtered, channels, weights):
    """Write the weighted sum of channels into `out`."""
    out[:] = 0
    for k in range(len(channels)):
        values, weight = filtered[channels[k]], weights[k]
        for i in range(len(out)):
            out[i] += weight * values[i]


@njit(cache=True, nogil=True)
def find_maxima(traces, kernel, first, channels, weights, thresholds):
    """Find local maxima over a threshold of the sums of filtered channels, but not at the ends.

    Parameters
    ----------
    traces : (n_channels, n) float32
    kernel : (n_taps,) float32
    first, channels, weights : arrays
        Row r has those from `first[r]` to `first[r + 1]`, as in SciPy's `csr_matrix`.
    thresholds : (n_rows,) float32

    Returns
    -------
    rows, samples : (n,) int64
    ratios : (n,) float32
        Over the threshold.
    """
    n_samples = traces.shape[1] - len(kernel) + 1
    filtered = np.zeros((len(traces), n_samples), dtype="float32")
    correlate_each(filtered, traces, kernel)
    summed, n_found = np.empty(n_samples, dtype="float32"), 0
    rows, samples = np.empty(256, dtype="int64"), np.empty(256, dtype="int64")
    ratios = np.empty(256, dtype="float32")
    for row in range(len(thresholds)):
        here, least = slice(first[row], first[row + 1]), thresholds[row]
        if least <= 0:  # the channel was silent where noise was measured
            continue
        sum_channels(summed, filtered, channels[here], weights[here])
        maxima = list_maxima(summed, least, count_maxima(summed, least))
        while n_found + len(maxima) > len(rows):
            rows, samples, ratios = np.append(rows, rows), np.append(samples, samples), np.append(ratios, ratios)
        for i in maxima:
            rows[n_found], samples[n_found], ratios[n_found] = row, i, summed[i] / least
            n_found += 1
    return rows[:n_found], samples[:n_found], ratios[:n_found]


@njit(cache=True, nogil=True, fastmath=True)
def count_maxima(values, least):
    """Count the maxima over a threshold; of two equal values the first is one."""
    n_maxima = 0
    for i in range(1, len(values) - 1):
        if values[i] >= least:  # hardly ever
            if values[i] > values[i - 1] and values[i] >= values[i + 1]:
                n_maxima += 1
    return n_maxima


@njit(cache=True, nogil=True)
def list_maxima(values, least, n_maxima):
    """List the samples of so many maxima, (n_maxima,) int64."""
    maxima, n_found = np.empty(n_maxima, dtype="int64"), 0
    if n_maxima:
        for i in range(1, len(values) - 1):
            if values[i] >= least and values[i] > values[i - 1] and values[i] >= values[i + 1]:
                maxima[n_found] = i
                n_found += 1
    return maxima


@njit(cache=True, nogil=True)
def find_extrema(traces, thresholds, negative, positive):
    """Find where traces are over a threshold and beyond the samples before and after.

    Returns
    -------
    samples, channels : (n,) int64
        Ordered by sample.
    """
    samples, channels, n_found = np.empty(256, dtype="int64"), np.empty(256, dtype="int64"), 0
    for sample in range(1, len(traces) - 1):
        for channel in range(len(thresholds)):
            value, least = traces[sample, channel], thresholds[channel]
            if abs(value) < least:  # nearly always
                continue
            before, after = traces[sample - 1, channel], traces[sample + 1, channel]
            is_low = negative and value <= -least and value < before and value <= after
            is_high = positive and value >= least and value > before and value >= after
            if is_low or is_high:
                if n_found == len(samples):
                    samples, channels = np.append(samples, samples), np.append(channels, channels)
                samples[n_found], channels[n_found] = sample, channel
                n_found += 1
    return samples[:n_found], channels[:n_found]


@njit(cache=True, nogil=True)
def are_largest(samples, channels, z_index, ratios, sweep, neighbours):
    """Say which candidates have no larger one near them, (n,) bool; of equal ones the first, or that of the first z.

    Parameters
    ----------
    samples, channels, z_index : (n,) int64
        Ordered by sample.
    ratios : (n,) float32
    sweep : int
        Samples that are near.
    neighbours : (n_channels, n_channels) bool
    """
    kept, start = np.ones(len(samples), dtype="bool"), 0
    for i in range(len(samples)):
        while samples[start] < samples[i] - sweep:
            start += 1
        for j in range(start, len(samples)):
            if samples[j] > samples[i] + sweep:
                break
            if i == j or not neighbours[channels[i], channels[j]]:
                continue
            is_later = samples[i] > samples[j] or (samples[i] == samples[j] and z_index[i] > z_index[j])
            if ratios[j] > ratios[i] or (ratios[j] == ratios[i] and is_later):
                kept[i] = False
                break
    return kept


class DetectorsTogether(PeakDetector):
    """Runs several detectors of SpikeInterface on the same chunks; `detector` says which found a peak.

    Parameters
    ----------
    recording : BaseRecording
    detectors : list of PeakDetector
    """

    need_first_call_before_pipeline = True  # compiles, so that no worker has to

    def __init__(self, recording, detectors):
        super().__init__(recording, return_output=True)
        self.detectors, self.n_channels = detectors, recording.get_num_channels()
        self._dtype = np.dtype([*base_peak_dtype, ("detector", "int64")])

    def get_dtype(self):
        """Give the type of a peak."""
        return self._dtype

    def get_margin(self):
        """Give the samples that are needed beside a chunk."""
        return max(detector.get_margin() for detector in self.detectors)

    def _first_call_before_pipeline(self):
        margin = self.get_margin()
        nothing = np.zeros((2 * margin + 1, self.n_channels), dtype="float32")
        self.compute(nothing, margin, margin + 1, 0, margin)

    def compute(self, traces, start_frame, end_frame, segment_index, max_margin):
        """Find the peaks of a chunk, ordered by detector."""
        found = []
        for index, detector in enumerate(self.detectors):
            spare = self.get_margin() - detector.get_margin()
            (peaks,) = detector.compute(
                traces[spare : len(traces) - spare], start_frame, end_frame, segment_index, max_margin
            )
            marked = np.zeros(len(peaks), dtype=self._dtype)
            for name, _ in base_peak_dtype:
                marked[name] = peaks[name]
            marked["sample_index"] += spare
            marked["detector"] = index
            found.append(marked)
        return (np.concatenate(found),)
