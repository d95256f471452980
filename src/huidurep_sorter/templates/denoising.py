"""Templates of few spikes: the mean of denoised spikes, weighed with the plain mean by how many there are.

The encoder's decoder gives back of a spike what is like a spike. Its mean has hardly any noise, but an error of its
own, which more spikes don't make smaller. How far both means differ, beyond noise, says how large that error is: so the
denoised one counts for as much as the noise of the plain one is of both errors (templates-36).
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from spikeinterface.core import ChannelSparsity

from huidurep_sorter.encoder.checkpoints import load_encoder
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.matching import main_channels
from huidurep_sorter.templates.waveforms import as_templates
from huidurep_sorter.traces.snippets import find_neighbourhoods, iterate_snippets


@dataclass(frozen=True, kw_only=True)
class DenoisingRules:
    """Which templates are denoised."""

    max_spikes: int = 50  # of which a mean is denoised; of more, sorting loses by it (templates-36)
    tiny: float = 1e-9  # a limit: against a division by zero


RULES = DenoisingRules()


def denoise_few(traces, templates, clusters, n_spikes, parameters):
    """Weigh the templates of few spikes with the means of their denoised spikes.

    Parameters
    ----------
    traces : Traces
    templates : Templates
        Sparse; unit ids are the labels of `clusters`.
    clusters : Spikes
        Aligned to the templates.
    n_spikes : (n_units,) int
        How many spikes each is the mean of.
    parameters : SortingParameters
        With the encoder's features; with others templates stay as they are.
    """
    few = np.flatnonzero(np.asarray(n_spikes) <= RULES.max_spikes)
    if len(few) == 0 or parameters.features != "huidurep":
        return templates
    encoder = load_encoder(parameters.weights, parameters.torch_device)
    if not encoder.config.n_decoder_layers:
        return templates
    dense, mask = templates.get_dense_templates().copy(), templates.sparsity_mask
    main = main_channels(templates)
    means = average_denoised(traces, encoder, clusters, np.asarray(templates.unit_ids)[few], main[few], parameters)
    neighbours = find_neighbourhoods(traces.recording, encoder.config.n_channels).channel_indices
    clock_s = (np.arange(templates.num_samples) - templates.nbefore) / templates.sampling_frequency
    for unit, mean in zip(few, means, strict=True):
        around = neighbours[main[unit]]
        seen = np.flatnonzero((around >= 0) & mask[unit, around])
        inside, denoised = on_clock(mean[:, seen], encoder.config, clock_s)
        where = np.ix_(inside, around[seen])
        noise = len(inside) * (traces.noise_levels[around[seen]] ** 2).sum() / n_spikes[unit]
        dense[unit][where] = blend(dense[unit][where], denoised, noise)
    blended = as_templates(traces, dense, templates.nbefore, templates.unit_ids)
    return blended.to_sparse(ChannelSparsity(mask, templates.unit_ids, templates.channel_ids))


def blend(mean, denoised, noise):
    """Weigh a mean with a denoised one, of the same shape; `noise` is the energy that noise adds to the first."""
    bias = max(((mean - denoised) ** 2).sum() - noise, 0.0)
    share = noise / max(noise + bias, RULES.tiny)
    return (1 - share) * mean + share * denoised


def on_clock(mean, config, clock_s):
    """Resample a mean (n_samples, n_channels) of the encoder's window to times around the spike.

    Returns
    -------
    inside : (n_inside,) int64
        Which of the times the window covers.
    values : (n_inside, n_channels)
    """
    known_s = (np.arange(len(mean)) - config.n_before) / config.sampling_frequency
    inside = np.flatnonzero((clock_s >= known_s[0]) & (clock_s <= known_s[-1]))
    return inside, CubicSpline(known_s, mean)(clock_s[inside])


def average_denoised(traces, encoder, clusters, labels, main, parameters):
    """Average the denoised spikes of some labels around their main channels.

    Returns
    -------
    means : (n_labels, n_samples, n_channels) float64
        On the encoder's clock and channels.
    """
    order = np.argsort(clusters.label, kind="stable")
    bounds = np.searchsorted(clusters.label[order], [labels, labels + 1])
    own = [order[start:stop] for start, stop in bounds.T]
    index = np.repeat(np.arange(len(labels)), [len(spikes) for spikes in own])
    peaks = Spikes.at(clusters.sample_index[np.concatenate(own)], main[index]).to_peaks()
    config = encoder.config
    neighbours = find_neighbourhoods(traces.recording, config.n_channels)
    sums = np.zeros((len(labels), config.n_samples, config.n_channels))
    for which, snippets in iterate_snippets(traces.recording, peaks, config.window, neighbours):
        offsets_um = neighbours.offsets_um[peaks["channel_index"][which]]
        denoised = encoder.denoise(snippets, parameters.batch_size, offsets_um=offsets_um)
        np.add.at(sums, index[which], denoised)
    return sums / np.maximum(np.bincount(index, minlength=len(labels)), 1)[:, None, None]
