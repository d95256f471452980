"""Waveforms of spikes, mean ones and single ones."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import Templates, estimate_templates_with_accumulator, ms_to_samples

from huidurep_sorter.traces.probe import one_probe


@dataclass(frozen=True, kw_only=True)
class WaveformRules:
    """What of a waveform is its peak."""

    min_ratio_of_other_sign: float = 1.3  # of a positive peak over the negative one: a positive spike (units-49)


RULES = WaveformRules()


def window_samples(traces, parameters):
    """Count the samples of a template before and from its peak, (n_before, n_after)."""
    fs = traces.sampling_frequency
    return ms_to_samples(parameters.ms_before, fs), ms_to_samples(parameters.ms_after, fs)


def average_waveforms(traces, spikes, n_units, n_before, n_after, sparsity_mask=None):
    """Average the waveforms of each unit, (n_units, n_before + n_after, n_channels) float32.

    In one process, whatever `n_jobs`: workers would each sum the chunks that happen to be theirs, in single precision,
    and a last digit decides between two sample times of a spike now and then (sorters-17). It takes less time than to
    start them.

    Parameters
    ----------
    traces : Traces
    spikes : structured array (n_spikes,)
        SpikeInterface's spike vector, ordered by sample.
    n_units : int
    n_before, n_after : int
        Samples.
    sparsity_mask : (n_units, n_channels) bool, optional
        Averages only these channels; as many come out as the unit with the most has.
    """
    return estimate_templates_with_accumulator(
        traces.recording,
        spikes,
        np.arange(n_units),
        n_before,
        n_after,
        return_in_uV=False,
        sparsity_mask=sparsity_mask,
        **(traces.job_kwargs | dict(n_jobs=1)),
    )


def as_templates(traces, array, n_before, unit_ids, sparsity_mask=None) -> Templates:
    """Give SpikeInterface's templates of mean waveforms: dense, or on the channels of a mask (n_units, n_channels)."""
    return Templates(
        templates_array=array,
        sampling_frequency=traces.sampling_frequency,
        nbefore=n_before,
        channel_ids=traces.recording.channel_ids,
        unit_ids=unit_ids,
        sparsity_mask=sparsity_mask,
        probe=one_probe(traces.recording),
        is_in_uV=False,
    )


def read_waveforms(traces, sample_index, n_before, n_after, channels, n_spikes=None):
    """Read single spikes, (n_spikes, n_before + n_after, n_channels) float32; none that the recording cuts off.

    Parameters
    ----------
    traces : Traces
    sample_index : (n_spikes,) int64
    n_before, n_after : int
        Samples.
    channels : (n_channels,) int64
    n_spikes : int, optional
        At most so many, spread over the recording.
    """
    sample_index = np.sort(sample_index[(sample_index >= n_before) & (sample_index + n_after <= traces.n_samples)])
    if n_spikes is not None and len(sample_index) > n_spikes:
        sample_index = sample_index[np.linspace(0, len(sample_index) - 1, n_spikes).astype("int64")]
    waveforms = np.empty((len(sample_index), n_before + n_after, len(channels)), dtype="float32")
    for waveform, sample in zip(waveforms, sample_index, strict=True):
        start, stop = int(sample) - n_before, int(sample) + n_after
        waveform[:] = traces.recording.get_traces(start_frame=start, end_frame=stop)[:, channels]
    return waveforms


def lags_of_peaks(waveforms, n_before, peak_sign="both"):
    """Find the samples from `n_before` to the peak of each waveform, (n_units,) int64: its largest deflection.

    Parameters
    ----------
    waveforms : (n_units, n_samples, n_channels) float
    n_before : int
    peak_sign : "neg" | "pos" | "both", default: "both"
        A peak of the other sign is taken only if it is larger by `RULES.min_ratio_of_other_sign`.
    """
    least = RULES.min_ratio_of_other_sign
    of_negative, of_positive = {"both": (1.0, 1.0), "neg": (1.0, least), "pos": (least, 1.0)}[peak_sign]
    size = np.maximum(-waveforms / of_negative, waveforms / of_positive)
    return size.max(axis=2).argmax(axis=1) - n_before
