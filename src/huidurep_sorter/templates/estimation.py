"""Templates of labelled spikes, and what of them is signal."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import ChannelSparsity, Templates
from spikeinterface.sortingcomponents.tools import clean_templates, compute_sparsity_from_peaks_and_label

from huidurep_sorter.runtime import NothingFound, stage
from huidurep_sorter.spikes.spikes import as_spike_vector
from huidurep_sorter.templates.denoising import denoise_few
from huidurep_sorter.templates.waveforms import as_templates, average_waveforms, lags_of_peaks, window_samples


@dataclass(frozen=True, kw_only=True)
class TemplateRules:
    """What of a template is signal."""

    min_norm_of_rare: float = 13.0  # noise units, of just under `min_cluster_size` spikes; more of fewer (spikes-24)
    min_energy_over_noise: float = 2.0  # of a channel, over what noise adds to it: half is signal then (templates-16)


RULES = TemplateRules()


@stage("templates")
def make_templates(traces, clusters, parameters):
    """Make clean templates of clusters, and align the clusters' spikes to them.

    Parameters
    ----------
    traces : Traces
    clusters : Spikes
        Labels 0 to n_clusters - 1, -1 for none.
    parameters : SortingParameters
        `ms_before`, `ms_after`, `template_radius_um` and `template_min_snr` are used.

    Returns
    -------
    templates : Templates
        Sparse; unit ids are the labels. Small ones are left out.
    clusters : Spikes
        Moved such that each template's largest deflection is at its peak.

    Raises
    ------
    NothingFound
        If no template is left.
    """
    clusters = align(clusters, estimate_templates(traces, clusters, parameters))
    return estimate_clean_templates(traces, clusters, parameters), clusters


def estimate_clean_templates(traces, clusters, parameters) -> Templates:
    """Estimate templates of aligned clusters, those of few spikes from denoised ones, and clean them.

    Raises
    ------
    NothingFound
        If no template is left.
    """
    templates = estimate_templates(traces, clusters, parameters)
    n_spikes = count_spikes(templates, clusters)
    templates = denoise_few(traces, templates, clusters, n_spikes, parameters)
    return clean(traces, templates, n_spikes, parameters)


def estimate_templates(traces, clusters, parameters) -> Templates:
    """Average each cluster on the channels around it, on one shank; unit ids are the labels."""
    clusters = clusters.take(clusters.label >= 0)
    if len(clusters) == 0:
        raise NothingFound("no cluster of spikes has a template")
    unit_ids = np.unique(clusters.label)
    spikes = as_spike_vector(clusters.sample_index, np.searchsorted(unit_ids, clusters.label))
    order = np.argsort(spikes["sample_index"], kind="stable")
    spikes, peaks = spikes[order], clusters.to_peaks()[order]
    sparsity, _ = compute_sparsity_from_peaks_and_label(
        peaks, spikes["unit_index"], unit_ids, traces.recording, parameters.template_radius_um
    )
    main = most_frequent(peaks["channel_index"], spikes["unit_index"], len(unit_ids))
    sparsity.mask &= traces.shanks == traces.shanks[main][:, None]
    sparsity.mask[np.arange(len(main)), main] = True  # no other may be near the mean of the contacts of its peaks
    n_before, n_after = window_samples(traces, parameters)
    array = average_waveforms(traces, spikes, len(unit_ids), n_before, n_after, sparsity.mask)
    return as_templates(traces, array, n_before, unit_ids, sparsity.mask)


def most_frequent(channel_indices, unit_indices, n_units):
    """Find the channel on which most spikes of each unit peak, (n_units,) int64."""
    counts = np.zeros((n_units, channel_indices.max() + 1), dtype="int64")
    np.add.at(counts, (unit_indices, channel_indices), 1)
    return counts.argmax(axis=1)


def align(clusters, templates):
    """Move spikes so that each template's largest deflection is at its peak (templates-8)."""
    lags = np.zeros(clusters.n_units, dtype="int64")
    lags[templates.unit_ids] = lags_of_peaks(templates.get_dense_templates(), templates.nbefore)
    return clusters.moved(np.where(clusters.label >= 0, lags[clusters.label], 0))


def count_spikes(templates, clusters):
    """Count the spikes that each template is the mean of, (n_units,) int64."""
    return clusters.counts()[templates.unit_ids]


def clean(traces, templates, n_spikes, parameters) -> Templates:
    """Leave out channels without signal, and templates that are small or empty.

    Parameters
    ----------
    traces : Traces
    templates : Templates
    n_spikes : (n_units,) int
        How many spikes each is the mean of.
    parameters : SortingParameters
        `template_min_snr` and `min_cluster_size` are used.

    Raises
    ------
    NothingFound
        If no template is left.
    """
    energy = (templates.get_dense_templates() ** 2).sum(axis=1)
    mask = energy > RULES.min_energy_over_noise * noise_energy(traces, templates.num_samples, n_spikes)
    mask[np.arange(len(mask)), energy.argmax(axis=1)] = True
    sparsity = ChannelSparsity(mask & templates.sparsity_mask, templates.unit_ids, templates.channel_ids)
    cleaned = clean_templates(
        templates.to_dense().to_sparse(sparsity),
        sparsify_threshold=None,
        noise_levels=traces.noise_levels,
        min_snr=parameters.template_min_snr,
        remove_empty=True,
    )
    n_spikes = np.asarray(n_spikes)[np.isin(templates.unit_ids, cleaned.unit_ids)]
    clear = are_clear(traces, cleaned, n_spikes, parameters)
    if not clear.any():
        raise NothingFound("no cluster of spikes has a template")
    return cleaned.select_units(cleaned.unit_ids[clear])


def are_clear(traces, templates, n_spikes, parameters):
    """Say which templates are large enough for the number of their spikes, (n_units,) bool.

    What a rare unit lacks in spikes its size must make up: the energy of all its spikes together counts.
    """
    noise = (noise_energy(traces, templates.num_samples, n_spikes) * templates.sparsity_mask).sum(axis=1)
    energy = (templates.get_dense_templates() ** 2).sum(axis=(1, 2)) - noise
    enough = RULES.min_norm_of_rare**2 * parameters.min_cluster_size
    return (n_spikes >= parameters.min_cluster_size) | (n_spikes * energy >= enough)


def noise_energy(traces, n_samples, n_spikes):
    """Estimate what noise adds to the energy of means of spikes on each channel, (..., n_channels).

    Parameters
    ----------
    traces : Traces
    n_samples : int
        Of each mean.
    n_spikes : (...) int
        That each is the mean of.
    """
    return n_samples * np.asarray(traces.noise_levels) ** 2 / np.expand_dims(n_spikes, -1)
