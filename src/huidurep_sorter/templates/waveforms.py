"""Mean waveforms of labelled spikes."""

import numpy as np
from spikeinterface.core import estimate_templates_with_accumulator, ms_to_samples


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


def lags_of_peaks(waveforms, n_before, peak_sign="both"):
    """Find the samples from `n_before` to the largest deflection, of that sign, of each waveform, (n_units,) int64.

    Parameters
    ----------
    waveforms : (n_units, n_samples, n_channels) float
    n_before : int
    peak_sign : "neg" | "pos" | "both", default: "both"
    """
    if peak_sign == "both":
        waveforms = np.abs(waveforms)
    elif peak_sign == "neg":
        waveforms = -waveforms
    return waveforms.max(axis=2).argmax(axis=1) - n_before
