"""Measure how much of the noise an encoder's reconstruction takes away, beside PCA of the same rank.

The truth is the mean of other spikes of the same unit. They have the same peak channel and are near in time, so that
drift doesn't blur the mean. They are cut at the true times, so that errors of the peak's sample don't blur it either.
Amplitudes are not fitted. Giving back zeros gains much on small spikes, which are smaller than the noise of a whole
snippet. So zeros are scored too.
"""

import logging

import numpy as np
from sklearn.decomposition import PCA

from huidurep_sorter.benchmark.representation.features import read_snippets
from huidurep_sorter.benchmark.representation.known_spikes import KnownSpikes, draw_spikes
from huidurep_sorter.benchmark.representation.scores import SNR_BANDS, band_name, in_bands, mean_or_nan
from huidurep_sorter.traces.snippets import find_neighbourhoods, iterate_snippets

logger = logging.getLogger(__name__)

TEMPLATE_SPIKES = 100
MIN_TEMPLATE_SPIKES = 20
SPIKES_PER_UNIT = 100  # that are denoised; each needs a template of its own, which takes time
SPIKES_AT_ONCE = 256
DENOISING_NAMES = [f"denoising, {band_name(band)}" for band in SNR_BANDS] + ["denoising, collisions"]


def denoising_scores(known: KnownSpikes, drawn, encoder, seed=0):
    """Compute the gains of an encoder, of PCA of the same rank, and of zeros, in dB by SNR band and for collisions.

    Parameters
    ----------
    known : KnownSpikes
        All of them, because templates are means of any.
    drawn : (n,) int64
        The spikes that PCA is fitted to. At most 100 of each unit are denoised.
    encoder : Encoder
    seed : int, default: 0

    Returns
    -------
    scores : dict of dict
        Of "encoder", "pca" and "zeros". A gain is NaN where there are no such spikes. An encoder without a decoder
        makes "encoder" only, all of NaN. Spikes in collision count as collisions only.
    """
    if not encoder.config.n_decoder_layers:
        logger.info("%s has no decoder: its denoising is left out", encoder.name)
        return {"encoder": dict.fromkeys(DENOISING_NAMES, float("nan"))}
    window, neighbourhoods = encoder.config.window, find_neighbourhoods(known.recording, encoder.config.n_channels)
    few = draw_spikes(known.take(drawn), SPIKES_PER_UNIT, seed)
    templates = true_templates(known, drawn[few], window, neighbourhoods)
    snippets = read_snippets(known.recording, known.peaks[drawn], window, neighbourhoods)
    offsets_um = neighbourhoods.offsets_um[known.peaks["channel_index"][drawn[few]]]
    present = np.isfinite(offsets_um[..., 0])
    reconstructions = {
        "encoder": encoder.denoise(snippets[few], offsets_um=offsets_um),
        "pca": _project(snippets, few, encoder.config.n_features, seed),
        "zeros": np.zeros_like(snippets[few]),
    }
    return {
        name: _by_band(gain_db(snippets[few], x, templates, present), known.take(drawn[few]))
        for name, x in reconstructions.items()
    }


def _project(snippets, few, n_components, seed):
    """Reconstruct a few of the snippets by PCA, which is fitted to all of them."""
    flat = snippets.reshape(len(snippets), -1)
    pca = PCA(min(n_components, *flat.shape), random_state=seed).fit(flat)
    return pca.inverse_transform(pca.transform(flat[few])).reshape(snippets[few].shape)


def gain_db(snippets, reconstructions, templates, present):
    """Compute 10 log10 of the squared error of each snippet over that of its reconstruction, (n,).

    Parameters
    ----------
    snippets, reconstructions, templates : (n, n_samples, n_channels) float32
    present : (n, n_channels) bool
        Channels that exist. The others don't count.
    """
    before = ((snippets - templates) ** 2 * present[:, None]).sum(axis=(1, 2), dtype="float64")
    after = ((reconstructions - templates) ** 2 * present[:, None]).sum(axis=(1, 2), dtype="float64")
    return 10 * np.log10(before / after)


def true_templates(known: KnownSpikes, chosen, window, neighbourhoods):
    """Estimate what each chosen spike looks like without noise, (n, n_samples, n_neighbours).

    This is the mean of the 100 spikes nearest in time, of the same unit on the same peak channel. The spike itself is
    left out. The template is NaN where the unit has too few other spikes.
    """
    templates = np.full((len(chosen), window.n_samples, neighbourhoods.channel_indices.shape[1]), np.nan, "float32")
    for start in range(0, len(chosen), SPIKES_AT_ONCE):
        piece = chosen[start : start + SPIKES_AT_ONCE]
        others = [_nearest_others(known, spike) for spike in piece]
        target = np.repeat(np.arange(len(piece)), [len(o) for o in others])
        if len(target):
            found = np.unique(target)
            means = _means(known, piece, np.concatenate(others), target, window, neighbourhoods)
            templates[start + found] = means[found]
    return templates


def _nearest_others(known, spike):
    """Return the other spikes of a spike's unit that are nearest in time, or none where there are too few."""
    same = (known.unit == known.unit[spike]) & (known.peaks["channel_index"] == known.peaks["channel_index"][spike])
    same[spike] = False
    others = np.flatnonzero(same)
    if len(others) < MIN_TEMPLATE_SPIKES:
        return others[:0]
    away = np.abs(known.sample_index[others] - known.sample_index[spike])
    return others[np.argsort(away, kind="stable")[:TEMPLATE_SPIKES]]


def _means(known, spikes, others, target, window, neighbourhoods):
    """Average the snippets of `others` for each of `spikes`.

    Each of `others` belongs to spikes[target], and is cut as far from its true time as the peak of that spike is.
    """
    peaks = known.peaks[spikes[target]].copy()
    lag = peaks["sample_index"] - known.sample_index[spikes[target]]
    peaks["sample_index"] = known.sample_index[others] + lag
    sums = np.zeros((len(spikes), window.n_samples, neighbourhoods.channel_indices.shape[1]))
    for indices, snippets in iterate_snippets(known.recording, peaks, window, neighbourhoods):
        order = np.argsort(target[indices], kind="stable")
        present, starts = np.unique(target[indices][order], return_index=True)
        sums[present] += np.add.reduceat(snippets[order], starts, axis=0)
    return sums / np.maximum(np.bincount(target, minlength=len(spikes)), 1)[:, None, None]


def _by_band(gain, known):
    """Average the gains of spikes without collision by SNR band, and those of spikes in collision."""
    alone = [inside & ~known.collides for inside in in_bands(known.snr)]
    return {n: mean_or_nan(gain[m]) for n, m in zip(DENOISING_NAMES, [*alone, known.collides], strict=True)}
