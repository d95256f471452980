"""Templates of few spikes, estimated again from more.

Of a small unit few spikes are detected, so its template is noisy, and then finds fewer of its spikes than it could. A
first match, on a part of the recording, finds others; the template draws as many of them as it needs, and no more:
what a small template finds is not all of its own unit (templates-17, templates-18).
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
from spikeinterface.core import append_recordings

from huidurep_sorter.runtime import stage
from huidurep_sorter.spikes.spikes import Spikes, concatenate
from huidurep_sorter.templates.duplicates import find_duplicated_spikes
from huidurep_sorter.templates.estimation import count_spikes, estimate_clean_templates, noise_energy
from huidurep_sorter.templates.matching import as_matched, find_spikes
from huidurep_sorter.traces.periods import take_spread
from huidurep_sorter.traces.traces import learned_runs, stretch_samples

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RefinementRules:
    """Which templates are estimated again, and from how much of the recording."""

    part_s: float = 45.0  # s of the recording that are matched first; a limit of time (templates-28, units-69)
    max_noise: float = 0.02  # of a template's energy that may be noise (templates-18, templates-28)


RULES = RefinementRules()


@stage("refine")
def refine_templates(traces, templates, clusters, parameters):
    """Estimate noisy templates again, from their clusters and from spikes that they match.

    Parameters
    ----------
    traces : Traces
    templates : Templates
        Cleaned; unit ids are the labels of `clusters`.
    clusters : Spikes
        Aligned to the templates; label -1 for none.
    parameters : SortingParameters

    Returns
    -------
    templates : Templates
        Cleaned; the same ids, but for a template that is no longer large enough.
    """
    missing = n_spikes_missing(traces, templates, count_spikes(templates, clusters))
    if not missing.any():
        return templates
    matched = as_matched(match_part(traces, templates, parameters), templates)
    drawn = draw_matched_spikes(traces, matched, missing, parameters.seed)
    logger.info("%d of %d templates are noisy and draw %d spikes", (missing > 0).sum(), len(missing), len(drawn))
    kept = clusters.take(np.isin(clusters.label, templates.unit_ids))
    clusters = concatenate(kept, drawn.relabelled(templates.unit_ids[drawn.label]))
    return estimate_clean_templates(traces, clusters, parameters)


def n_spikes_missing(traces, templates, n_spikes):
    """Count how many spikes more each template should be the mean of, (n_units,) int64, 0 for a clean one."""
    energy = (templates.get_dense_templates() ** 2).sum(axis=(1, 2))
    noise = (noise_energy(traces, templates.num_samples, n_spikes) * templates.sparsity_mask).sum(axis=1)
    return np.maximum(np.ceil(n_spikes * (noise / (RULES.max_noise * energy) - 1)), 0).astype("int64")


def match_part(traces, templates, parameters):
    """Match stretches that are spread over the recording, `part_s` in all; leave out spikes cut by their ends.

    Returns
    -------
    spikes : structured array (n_spikes,)
        As `find_spikes` gives; samples are those of the whole recording.
    """
    stretches = choose_stretches(traces)
    part = append_recordings([traces.recording.frame_slice(start, stop) for start, stop in stretches])
    spikes = find_spikes(replace(traces, recording=part), templates, parameters)
    start, stop = stretches.T[:, spikes["segment_index"]]
    spikes["sample_index"] += start
    spikes["segment_index"] = 0
    inside = (spikes["sample_index"] >= start + templates.nbefore) & (spikes["sample_index"] < stop - templates.nafter)
    return spikes[inside]


def choose_stretches(traces):
    """Choose stretches that are learned from, `part_s` in all and spread evenly, or all of a short recording.

    Returns
    -------
    stretches : (n_stretches, 2) int64
        First sample, last sample + 1.
    """
    n = int(RULES.part_s * traces.sampling_frequency)
    if traces.n_samples <= n:
        return np.array([[0, traces.n_samples]])
    return take_spread(learned_runs(traces.recording), n // stretch_samples(traces.recording))


def draw_matched_spikes(traces, matched, missing, seed) -> Spikes:
    """Draw matched spikes at random for the templates that lack some; none that was found twice.

    Parameters
    ----------
    traces : Traces
    matched : Spikes
        Labels are indices of templates.
    missing : (n_templates,) int64
        Spikes that each lacks.
    seed : int
    """
    if len(matched) == 0:
        return matched
    templates = np.unique(matched.label)
    matched = matched.compact()
    owner = templates[matched.label]
    free = ~find_duplicated_spikes(traces, matched)
    rng = np.random.default_rng(seed)
    chosen = [np.zeros(0, dtype="int64")]
    for template in np.flatnonzero(missing):
        own = np.flatnonzero(free & (owner == template))
        n_wanted = missing[template]
        chosen.append(own if own.size <= n_wanted else rng.choice(own, n_wanted, replace=False))
    chosen = np.concatenate(chosen)
    return matched.take(chosen).relabelled(owner[chosen])
