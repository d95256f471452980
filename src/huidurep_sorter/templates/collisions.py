"""Templates that are several others at once: neurons that often fire together make clusters of their sums.

Such a template would take the spikes of its parts. Without it, matching finds each of them.
"""

import logging
from dataclasses import dataclass

import numpy as np

from huidurep_sorter.templates.estimation import count_spikes, noise_energy
from huidurep_sorter.templates.waveforms import read_waveforms

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CollisionRules:
    """When the spikes of a template are several others at once. Energies are without the part that noise adds."""

    min_count_ratio: float = 3.0  # times as many spikes have each of the others (templates-33, templates-41)
    max_left: float = 0.15  # of a spike's energy: all parts leave less, one alone more (templates-33, templates-41)
    n_parts: int = 3  # spikes that are taken for one, at most; a limit of time
    n_spikes: int = 50  # of a template that are looked at; a limit of time


RULES = CollisionRules()


def without_collisions(traces, templates, clusters, rules=RULES):
    """Leave out templates whose spikes are two or three other spikes at once (templates-33).

    Those of many spikes are looked at first: what is a sum is no part of others.

    Parameters
    ----------
    traces : Traces
    templates : Templates
        Cleaned; unit ids are the labels of `clusters`.
    clusters : Spikes
        Aligned to the templates.
    rules : CollisionRules

    Returns
    -------
    templates : Templates
    """
    counts, seen = count_spikes(templates, clusters), templates.sparsity_mask
    noise = noise_energy(traces, templates.num_samples, 1)
    dense, single = templates.get_dense_templates(), np.ones(len(counts), dtype=bool)
    n_before, n_after = templates.nbefore + templates.num_samples, templates.nafter + templates.num_samples
    for index in np.argsort(-counts, kind="stable"):
        share_channels = (seen & seen[index]).any(axis=1)
        others = single & share_channels & (counts >= rules.min_count_ratio * counts[index])
        if others.sum() >= 2:
            channels = np.flatnonzero(seen[index])
            spikes = clusters.sample_index[clusters.label == templates.unit_ids[index]]
            waveforms = read_waveforms(traces, spikes, n_before, n_after, channels, rules.n_spikes)
            left = left_by_others(waveforms, dense[others][:, :, channels], rules.n_parts)
            single[index] = not are_collisions(left, noise[channels].sum(), rules)
    if single.all():
        return templates
    logger.info("%d of %d templates are two or three others at once", (~single).sum(), len(single))
    return templates.select_units(np.asarray(templates.unit_ids)[single])


def left_by_others(waveforms, others, n_parts):
    """Take off each waveform the template that explains most of it, at its best lag, again and again.

    Parameters
    ----------
    waveforms : (n_spikes, 3 * n_samples, n_channels) float
        Each with `n_samples` before the template's window and after it.
    others : (n_templates, n_samples, n_channels) float
    n_parts : int

    Returns
    -------
    left : (n_parts + 1, n_spikes) float
        Energy in the template's window of each waveform, before the first and after each template.
    """
    n_templates, n_samples, n_channels = others.shape
    rest, flat, energy = waveforms.copy(), others.reshape(n_templates, -1).T, (others**2).sum(axis=(1, 2))
    n_lags = rest.shape[1] - n_samples + 1
    middle = slice(n_samples, 2 * n_samples)
    left = [(rest[:, middle] ** 2).sum(axis=(1, 2))]
    for _ in range(n_parts):
        products = [rest[:, lag : lag + n_samples].reshape(len(rest), -1) @ flat for lag in range(n_lags)]
        gain = (2 * np.stack(products, axis=1) - energy).reshape(len(rest), -1)
        best = gain.argmax(axis=1)
        for waveform, lag, part, gained in zip(rest, *np.divmod(best, n_templates), gain.max(axis=1), strict=True):
            if gained > 0:
                waveform[lag : lag + n_samples] -= others[part]
        left.append((rest[:, middle] ** 2).sum(axis=(1, 2)))
    return np.array(left)


def are_collisions(left, noise, rules=RULES):
    """Decide from what is left of its spikes, (n_parts + 1, n_spikes), whether a template is others at once."""
    if left.shape[1] == 0 or noise > np.median(left[0] - noise):
        return False  # where noise is more than the spike, what is left of it can't be told
    share = np.median((left[1:] - noise) / np.maximum(left[0] - noise, noise), axis=1)
    return bool(share[-1] < rules.max_left <= share[0])  # what one other explains may be of that unit, split
