"""Templates of labelled peaks, their cleaning, and the search for their spikes."""

import numpy as np

MIN_ENERGY_OVER_NOISE = 2.0  # of a channel of a template: half of it is signal, then
WOBBLE_RANK = 3  # what lies beyond is mostly noise, and takes time


def estimate_templates(recording, peaks, labels, parameters, job_kwargs=None):
    """Mean waveform of each cluster on the channels around it.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    peaks : structured array (n_peaks,)
    labels : (n_peaks,) int64
        0 to n_units - 1; peaks of label -1 are left out.
    parameters : SortingParameters
        `ms_before`, `ms_after` and `template_radius_um` are used.
    job_kwargs : dict, optional

    Returns
    -------
    templates : Templates or None
        Sparse; unit ids are the labels. None where no peak has a label.
    """
    from spikeinterface.core import Templates
    from spikeinterface.sortingcomponents.tools import compute_sparsity_from_peaks_and_label

    kept = labels >= 0
    if not kept.any():
        return None
    peaks, unit_ids = peaks[kept], np.unique(labels[kept])
    spikes = as_spike_vector(peaks["sample_index"], np.searchsorted(unit_ids, labels[kept]))
    order = np.argsort(spikes["sample_index"], kind="stable")
    spikes, peaks = spikes[order], peaks[order]
    sparsity, _ = compute_sparsity_from_peaks_and_label(
        peaks, spikes["unit_index"], unit_ids, recording, parameters.template_radius_um
    )
    sparsity.mask &= same_shank(recording, peaks["channel_index"], spikes["unit_index"], len(unit_ids))
    n_before, n_after = window_samples(recording, parameters)
    array = average_waveforms(recording, spikes, len(unit_ids), n_before, n_after, job_kwargs, sparsity.mask)
    return Templates(
        templates_array=array,
        sampling_frequency=recording.sampling_frequency,
        nbefore=n_before,
        channel_ids=recording.channel_ids,
        unit_ids=unit_ids,
        sparsity_mask=sparsity.mask,
        probe=recording.get_probe(),
        is_in_uV=False,
    )


def window_samples(recording, parameters):
    """Samples of a template before and from its peak, (n_before, n_after)."""
    from spikeinterface.core import ms_to_samples

    fs = recording.sampling_frequency
    return ms_to_samples(parameters.ms_before, fs), ms_to_samples(parameters.ms_after, fs)


def average_waveforms(recording, spikes, n_units, n_before, n_after, job_kwargs=None, sparsity_mask=None):
    """Mean waveform of each unit, (n_units, n_before + n_after, n_channels) float32.

    In one process, whatever `n_jobs`: workers would each sum the chunks that happen to be theirs, in single precision,
    and a last digit decides between two sample times of a spike now and then. It takes less time than to start them.

    Parameters
    ----------
    recording : BaseRecording
    spikes : structured array (n_spikes,)
        SpikeInterface's spike vector, ordered by sample.
    n_units : int
    n_before, n_after : int
        Samples.
    job_kwargs : dict, optional
    sparsity_mask : (n_units, n_channels) bool, optional
        Averages only these channels; as many come out as the unit with the most has.
    """
    from spikeinterface.core import estimate_templates_with_accumulator

    return estimate_templates_with_accumulator(
        recording,
        spikes,
        np.arange(n_units),
        n_before,
        n_after,
        return_in_uV=False,
        sparsity_mask=sparsity_mask,
        **(dict(job_kwargs or {}) | dict(n_jobs=1)),
    )


def same_shank(recording, channel_indices, unit_indices, n_units):
    """(n_units, n_channels) bool: the channels of the shank where most of a unit's peaks are."""
    shanks = np.asarray(recording.get_channel_groups())
    mask = np.zeros((n_units, len(shanks)), dtype=bool)
    for unit in range(n_units):
        values, counts = np.unique(shanks[channel_indices[unit_indices == unit]], return_counts=True)
        mask[unit] = shanks == values[np.argmax(counts)]
    return mask


def as_spike_vector(sample_indices, unit_indices):
    """SpikeInterface's spike vector, of one segment."""
    from spikeinterface.core.base import minimum_spike_dtype

    spikes = np.zeros(len(sample_indices), dtype=minimum_spike_dtype)
    spikes["sample_index"] = sample_indices
    spikes["unit_index"] = unit_indices
    return spikes


def align(peaks, labels, templates):
    """Sample indices of peaks, moved so that each template's largest deflection is at its peak."""
    moves = np.zeros(labels.max() + 1, dtype="int64")
    moves[templates.unit_ids] = lags_of_peaks(templates.get_dense_templates(), templates.nbefore)
    return peaks["sample_index"] + np.where(labels >= 0, moves[labels], 0)


def lags_of_peaks(array, n_before, peak_sign="both"):
    """Samples from `n_before` to the largest deflection, of that sign, of each template, (n_units,) int64."""
    if peak_sign == "both":
        array = np.abs(array)
    elif peak_sign == "neg":
        array = -array
    return array.max(axis=2).argmax(axis=1) - n_before


def count_peaks(templates, labels):
    """How many of the labelled peaks each template is the mean of, (n_units,) int64."""
    return np.bincount(labels[labels >= 0])[templates.unit_ids]


def clean(templates, n_spikes, noise_levels, parameters):
    """Leave out channels without signal, and templates that are small or empty.

    Parameters
    ----------
    templates : Templates
    n_spikes : (n_units,) int
        How many spikes each is the mean of.
    noise_levels : (n_channels,) float
    parameters : SortingParameters
        `template_min_snr` is used.

    Returns
    -------
    templates : Templates
    """
    from spikeinterface.core import ChannelSparsity
    from spikeinterface.sortingcomponents.tools import clean_templates

    energy = (templates.get_dense_templates() ** 2).sum(axis=1)
    mask = energy > MIN_ENERGY_OVER_NOISE * noise_energy(templates, n_spikes, noise_levels)
    mask[np.arange(len(mask)), energy.argmax(axis=1)] = True
    sparsity = ChannelSparsity(mask & templates.sparsity_mask, templates.unit_ids, templates.channel_ids)
    return clean_templates(
        templates.to_dense().to_sparse(sparsity),
        sparsify_threshold=None,
        noise_levels=noise_levels,
        min_snr=parameters.template_min_snr,
        remove_empty=True,
    )


def noise_energy(templates, n_spikes, noise_levels):
    """What noise adds to the energy of each template on each channel, (n_units, n_channels)."""
    return templates.num_samples * np.asarray(noise_levels) ** 2 / np.asarray(n_spikes)[:, None]


def find_spikes(recording, templates, noise_levels, parameters, job_kwargs=None):
    """Match templates to the recording.

    Returns
    -------
    spikes : structured array (n_spikes,)
        `sample_index`, `cluster_index` (into the templates), `segment_index`; ordered by sample, in each segment.
    """
    from spikeinterface.sortingcomponents.matching import find_spikes_from_templates

    method = parameters.matching_method
    method_kwargs = {
        "tdc-peeler": dict(noise_levels=noise_levels),
        "wobble": dict(parameters=dict(approx_rank=WOBBLE_RANK)),
    }
    spikes = find_spikes_from_templates(
        recording,
        templates,
        method=method,
        method_kwargs=method_kwargs.get(method, {}),
        job_kwargs=job_kwargs or {},
    )
    return spikes[np.lexsort((spikes["cluster_index"], spikes["sample_index"], spikes["segment_index"]))]
