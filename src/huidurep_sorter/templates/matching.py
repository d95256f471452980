"""The search for every spike of each template.

Another engine is another function in `MATCHERS`; parameters, help and documentation read its name from there.
"""

import logging

import numpy as np
from spikeinterface.sortingcomponents.matching import find_spikes_from_templates

from huidurep_sorter.runtime import NothingFound, stage
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.local_matching import RULES, match_locally

logger = logging.getLogger(__name__)


def wobble(traces, templates):
    """Subtract the template that explains most, again and again (templates-4, templates-5)."""
    return _match(traces, templates, "wobble", dict(parameters=dict(approx_rank=RULES.rank)))


def tdc_peeler(traces, templates):
    """Peel off the template that is nearest to each peak, as Tridesclous does.

    Its threshold is 0, by which it divides, where most of a channel was silenced: then templates are matched locally.
    """
    peaks = templates.get_dense_templates()[:, templates.nbefore]
    sign = "neg" if (peaks.min(axis=1) < -peaks.max(axis=1)).all() else "both"  # it refuses templates of another sign
    try:
        return _match(traces, templates, "tdc-peeler", dict(noise_levels=traces.noise_levels, peak_sign=sign))
    except ZeroDivisionError:
        logger.info("a channel is silent most of the time: matching by 'local' instead of 'tdc-peeler'")
        return match_locally(traces, templates)


def circus_omp(traces, templates):
    """Pursue matches orthogonally, as SpyKING CIRCUS does."""
    return _match(traces, templates, "circus-omp", {})


MATCHERS = {"local": match_locally, "wobble": wobble, "tdc-peeler": tdc_peeler, "circus-omp": circus_omp}


def _match(traces, templates, method, method_kwargs):
    return find_spikes_from_templates(
        traces.recording, templates, method=method, method_kwargs=method_kwargs, job_kwargs=traces.job_kwargs
    )


def find_spikes(traces, templates, parameters):
    """Match templates by the engine that `parameters.matching_method` names.

    Returns
    -------
    spikes : structured array (n_spikes,)
        `sample_index`, `cluster_index` (into the templates), `segment_index`; ordered by sample, in each segment.
    """
    spikes = MATCHERS[parameters.matching_method](traces, templates)
    return spikes[np.lexsort((spikes["cluster_index"], spikes["sample_index"], spikes["segment_index"]))]


@stage("match")
def match_templates(traces, templates, parameters) -> Spikes:
    """Find every spike of each template, overlapping ones too.

    Returns
    -------
    spikes : Spikes
        Ordered by sample; labels number the templates that found a spike, 0 to n - 1.

    Raises
    ------
    NothingFound
        If no template matches anywhere.
    """
    found = find_spikes(traces, templates, parameters)
    if len(found) == 0:
        raise NothingFound("no spike matched a template")
    spikes = as_matched(found, templates).compact()
    logger.info("%d spikes matched %d of %d templates", len(spikes), spikes.n_units, len(templates.unit_ids))
    return spikes


def as_matched(found, templates) -> Spikes:
    """Give matched spikes the main channel of their template; labels are indices of templates."""
    return Spikes.at(found["sample_index"], main_channels(templates)[found["cluster_index"]], found["cluster_index"])


def main_channels(templates):
    """Find the channel on which each template has most energy, (n_templates,) int64."""
    return (templates.get_dense_templates() ** 2).sum(axis=1).argmax(axis=1)
