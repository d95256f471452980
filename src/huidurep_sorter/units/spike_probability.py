"""How probable it is that a spike is of the neuron that its unit is: from the unit, and from how the spike fits it."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from huidurep_sorter.templates.split_half import are_averaged
from huidurep_sorter.traces.probe import channels_within


@dataclass(frozen=True, kw_only=True)
class SpikeRules:
    """Where a spike is compared with its unit's waveform, and a logistic regression on what is known of it."""

    before_ms: float = 1.0  # ms before a spike, from which it is compared (units-57)
    after_ms: float = 1.5  # ms after it (units-57)
    radius_um: float = 75.0  # um around the unit's main channel (units-57)
    max_lag: int = 2  # samples by which a spike may lie beside its time (units-57)
    isi_threshold_ms: float = 1.5  # ms; of spikes nearer than this one is of another neuron; SpikeInterface's default
    chunk_s: float = 1.0  # s of traces read at once; a limit of memory
    offset: float = -11.22  # fitted to spikes of known origin, as the next six (units-57)
    per_log_norm: float = 4.66  # a factor e of the template's norm (units-57)
    per_nn_hit_rate: float = 2.80  # of all of the nearest spikes being the unit's own (units-57)
    per_violations: float = -2.63  # of as many violations as a Poisson process has, and at most of those (units-57)
    per_log_smaller: float = -4.93  # a spike that is smaller than the waveform by a factor e, and at most so (units-57)
    per_log_residual: float = -1.01  # a factor e of what is left, over the noise; of at most two such (units-57)
    per_short_interval: float = -2.21  # another spike of the unit within `isi_threshold_ms` (units-57)


RULES = SpikeRules()


@dataclass(frozen=True, kw_only=True)
class SpikeFits:
    """How each spike fits the mean waveform of its unit; NaN where it wasn't read.

    Attributes
    ----------
    amplitude : (n_spikes,) float32
        Size of the trace at the spike, on the main channel of its unit.
    scale : (n_spikes,) float32
        By which the mean waveform is multiplied to be most like the spike.
    residual : (n_spikes,) float32
        Mean square of what is left, in units of noise.
    """

    amplitude: np.ndarray
    scale: np.ndarray
    residual: np.ndarray

    def take(self, which):
        """Take some of the spikes, by a mask or by indices."""
        return SpikeFits(amplitude=self.amplitude[which], scale=self.scale[which], residual=self.residual[which])


def fit_spikes(traces, units, waveforms, n_before, main) -> SpikeFits:
    """Compare each spike with the mean waveform of its unit; of a long recording those spikes that are learned from.

    Parameters
    ----------
    traces : Traces
    units : Spikes
        Ordered by sample.
    waveforms : (n_units, n_samples, n_channels) float32
    n_before : int
        Samples of a waveform before the spike.
    main : (n_units,) int64
    """
    values = np.full((len(units), 3), np.nan, dtype="float32")
    read = np.flatnonzero(are_averaged(traces, units))
    before, after = (int(ms * traces.sampling_frequency / 1000) for ms in (RULES.before_ms, RULES.after_ms))
    before, after = min(before, n_before), min(after, waveforms.shape[1] - n_before)
    cut = np.ascontiguousarray(waveforms[:, n_before - before : n_before + after], dtype="float32")
    near = channels_within(traces.recording, RULES.radius_um)[main]
    margin, chunk = max(before, after) + RULES.max_lag, int(RULES.chunk_s * traces.sampling_frequency)
    samples, labels = units.sample_index[read], units.label[read]
    starts = np.flatnonzero(np.diff(samples // chunk, prepend=-1))
    for first, last in zip(starts, [*starts[1:], len(read)], strict=True):
        start, stop = max(samples[first] - margin, 0), min(samples[last - 1] + margin + 1, traces.n_samples)
        piece = traces.recording.get_traces(start_frame=int(start), end_frame=int(stop)).astype("float32", copy=False)
        own = labels[first:last]
        values[read[first:last]] = fit(
            np.ascontiguousarray(piece), samples[first:last] - start, own, cut, before, near, main, RULES.max_lag
        )
    return SpikeFits(**dict(zip(("amplitude", "scale", "residual"), values.T, strict=True)))


@njit(cache=True, nogil=True)
def fit(traces, samples, labels, waveforms, before, near, main, max_lag):
    """Compare spikes with waveforms, on each unit's near channels, at the lag at which they agree best.

    Parameters
    ----------
    traces : (n_samples, n_channels) float32
    samples, labels : (n_spikes,) int64
    waveforms : (n_units, n_waveform_samples, n_channels) float32
    before : int
        Samples of a waveform before the spike.
    near : (n_units, n_channels) bool
    main : (n_units,) int64
    max_lag : int

    Returns
    -------
    values : (n_spikes, 3) float32
        Amplitude on the main channel, scale and residual; the last two are NaN where a spike is cut off.
    """
    values = np.full((samples.size, 3), np.nan, dtype=np.float32)
    n_samples = waveforms.shape[1]
    for spike in range(samples.size):
        label, sample = labels[spike], samples[spike]
        values[spike, 0] = abs(traces[sample, main[label]])
        first = sample - before - max_lag
        if first < 0 or first + n_samples + 2 * max_lag > traces.shape[0]:
            continue
        energy, n_values, best, size = 0.0, 0, -np.inf, 0.0
        for channel in range(traces.shape[1]):
            if near[label, channel]:
                for index in range(n_samples):
                    energy += waveforms[label, index, channel] * waveforms[label, index, channel]
                n_values += n_samples
        for lag in range(2 * max_lag + 1):
            product, square = 0.0, 0.0
            for channel in range(traces.shape[1]):
                if not near[label, channel]:
                    continue
                for index in range(n_samples):
                    value, own = traces[first + lag + index, channel], waveforms[label, index, channel]
                    product += value * own
                    square += value * value
            if product > best:
                best, size = product, square
        scale = best / max(energy, 1e-9)
        values[spike, 1] = scale
        values[spike, 2] = (size - 2 * scale * best + scale * scale * energy) / max(n_values, 1)
    return values


def spike_probabilities(fits, units, sampling_frequency, norm, nn_hit_rate, isi_violations_ratio, rules=RULES):
    """Estimate how probable it is that each spike is of its unit's neuron, (n_spikes,) 0 to 1; NaN where not read.

    Parameters
    ----------
    fits : SpikeFits
    units : Spikes
    sampling_frequency : float
        In Hz.
    norm, nn_hit_rate, isi_violations_ratio : (n_units,) float
        Properties of the units.
    rules : SpikeRules
    """
    of_unit = rules.offset + rules.per_log_norm * np.log(np.maximum(norm, 1.0)) + rules.per_nn_hit_rate * nn_hit_rate
    of_unit = of_unit + rules.per_violations * np.minimum(isi_violations_ratio, 1.0)
    smaller = np.clip(-np.log(np.maximum(fits.scale, 1e-3)), 0.0, 1.0)
    residual = np.clip(np.log(np.maximum(fits.residual, 1e-3)), 0.0, 2.0)
    short = have_short_interval(units, rules.isi_threshold_ms / 1000 * sampling_frequency)
    of_spike = rules.per_log_smaller * smaller + rules.per_log_residual * residual + rules.per_short_interval * short
    return 1 / (1 + np.exp(-(of_unit[units.label] + of_spike)))


def have_short_interval(units, n_samples):
    """Say which spikes have another one of their unit nearer than so many samples, (n_spikes,) bool."""
    order = np.lexsort((units.sample_index, units.label))
    short = (np.diff(units.sample_index[order]) < n_samples) & (np.diff(units.label[order]) == 0)
    out = np.zeros(len(units), dtype=bool)
    out[order] = np.append(short, False) | np.insert(short, 0, False)
    return out
