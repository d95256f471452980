"""Templates of few peaks, estimated again from more spikes.

Of a small unit few spikes are detected, so its template is noisy, and then finds fewer of its spikes than it could. A
first match, on a part of the recording, finds others; the template borrows as many of them as it needs, and no more:
what a small template finds is not all of its own unit.
"""

import logging

import numpy as np

from huidurep_sorter.spikes.spikes import make_units
from huidurep_sorter.templates.estimation import clean, count_peaks, estimate_templates, find_spikes, noise_energy
from huidurep_sorter.units import curation

logger = logging.getLogger("huidurep_sorter")

PART_S = 45.0
SLICE_S = 5.0
MAX_NOISE = 0.02  # the part of a template's energy that is noise


def refine_templates(recording, templates, peaks, labels, noise_levels, parameters, job_kwargs=None):
    """Estimate noisy templates again, from their peaks and from spikes that they match.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    templates : Templates
        Cleaned; unit ids are the labels.
    peaks : structured array (n_peaks,)
        Aligned to the templates.
    labels : (n_peaks,) int64
        -1 for none.
    noise_levels : (n_channels,) float
    parameters : SortingParameters
    job_kwargs : dict, optional

    Returns
    -------
    templates : Templates
        Cleaned; the same ids, but for a template that is no longer large enough.
    """
    wanted = spikes_wanted(templates, count_peaks(templates, labels), noise_levels)
    if not wanted.any():
        return templates
    found = match_part(recording, templates, noise_levels, parameters, job_kwargs)
    samples, units = borrow(recording, found, wanted, parameters.seed, job_kwargs)
    more = np.zeros(len(samples), dtype=peaks.dtype)
    more["sample_index"] = samples
    array = templates.get_dense_templates()
    more["channel_index"] = (array**2).sum(axis=1).argmax(axis=1)[units]
    logger.info("%d of %d templates are noisy and borrow %d spikes", (wanted > 0).sum(), len(wanted), len(more))
    kept = np.isin(labels, templates.unit_ids)
    peaks, labels = np.concatenate([peaks[kept], more]), np.concatenate([labels[kept], templates.unit_ids[units]])
    again = estimate_templates(recording, peaks, labels, parameters, job_kwargs)
    return clean(again, count_peaks(again, labels), noise_levels, parameters)


def spikes_wanted(templates, n_spikes, noise_levels):
    """How many spikes more each template should be the mean of, (n_units,) int64, 0 for a clean one."""
    energy = (templates.get_dense_templates() ** 2).sum(axis=(1, 2))
    noise = (noise_energy(templates, n_spikes, noise_levels) * templates.sparsity_mask).sum(axis=1)
    return np.maximum(np.ceil(n_spikes * (noise / (MAX_NOISE * energy) - 1)), 0).astype("int64")


def match_part(recording, templates, noise_levels, parameters, job_kwargs=None):
    """As `find_spikes`, in slices spread over the recording, `PART_S` in all; spikes cut by their ends are left out."""
    from spikeinterface.core import append_recordings

    slices = spread_slices(recording)
    part = append_recordings([recording.frame_slice(start, stop) for start, stop in slices])
    spikes = find_spikes(part, templates, noise_levels, parameters, job_kwargs)
    start, stop = np.array(slices).T[:, spikes["segment_index"]]
    spikes["sample_index"] += start
    spikes["segment_index"] = 0
    inside = (spikes["sample_index"] >= start + templates.nbefore) & (spikes["sample_index"] < stop - templates.nafter)
    return spikes[inside]


def spread_slices(recording):
    """(first sample, last sample + 1) of slices spread evenly, the whole recording where it is short."""
    n, fs = recording.get_total_samples(), recording.sampling_frequency
    if n <= PART_S * fs:
        return [(0, n)]
    length = int(SLICE_S * fs)
    return [(int(a), int(a) + length) for a in np.linspace(0, n - length, int(PART_S / SLICE_S))]


def borrow(recording, spikes, wanted, seed, job_kwargs=None):
    """Matched spikes for the templates that want them, drawn at random, none that repeats a larger unit's.

    Parameters
    ----------
    recording : BaseRecording
    spikes : structured array (n_spikes,)
    wanted : (n_templates,) int64
    seed : int
    job_kwargs : dict, optional

    Returns
    -------
    samples, units : (n_borrowed,) int64
        Where each is, and the index of its template.
    """
    if len(spikes) == 0:
        return np.zeros(0, dtype="int64"), np.zeros(0, dtype="int64")
    names = np.unique(spikes["cluster_index"])
    units = make_units(spikes["sample_index"], spikes["cluster_index"])
    owner = names[units.label]
    free = ~curation.are_repeats(recording, units, job_kwargs)
    rng = np.random.default_rng(seed)
    chosen = [np.zeros(0, dtype="int64")]
    for unit in np.flatnonzero(wanted):
        own = np.flatnonzero(free & (owner == unit))
        chosen.append(own if own.size <= wanted[unit] else rng.choice(own, wanted[unit], replace=False))
    chosen = np.concatenate(chosen)
    return units.sample_index[chosen], owner[chosen]
