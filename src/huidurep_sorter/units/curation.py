"""From matched spikes to units: duplicates, merges, and what is no neuron."""

import logging
from collections import Counter

import numpy as np
import pandas as pd

from huidurep_sorter.runtime import NothingFound, stage
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.duplicates import find_duplicated_spikes, find_redundant_units
from huidurep_sorter.templates.split_half import are_averaged, are_near, estimate_split_half
from huidurep_sorter.templates.waveforms import average_waveforms, lags_of_peaks, window_samples
from huidurep_sorter.units import acceptance
from huidurep_sorter.units.discarded import list_discarded
from huidurep_sorter.units.merging import merge_units
from huidurep_sorter.units.temporal_splits import merge_temporal_splits

logger = logging.getLogger(__name__)


@stage("curate")
def curate(traces, matched, parameters):
    """Merge units, remove duplicates and leave out what is no neuron.

    Duplicates go before merging: a unit merged with its own copy would lose its refractory period (units-4).

    Parameters
    ----------
    traces : Traces
    matched : Spikes
        As `match_templates` gives.
    parameters : SortingParameters

    Returns
    -------
    units : Spikes
        Labels 0 to n_units - 1.
    discarded : DataFrame
        Units that were left out, and why: as `list_discarded` gives.
    decisions : DataFrame
        Which units were merged: as `find_groups` gives.

    Raises
    ------
    NothingFound
        If no unit is left.
    """
    units, discarded = drop_rare(matched.within(traces.n_samples))
    if len(units):
        units, more = drop_rare(units.take(~find_duplicated_spikes(traces, units)))
        discarded = pd.concat([discarded, more], ignore_index=True)
    if len(units):
        units, decisions = merge_units(traces, units, parameters)
        units, templates, more = drop_noise(traces, units, parameters)
        discarded = pd.concat([discarded, more], ignore_index=True)
    for reason, count in Counter(discarded["reason"]).items():
        logger.info("%d units are left out: %s", count, reason)
    if len(units) and parameters.merge_temporal_splits:
        n_units, units = units.n_units, merge_temporal_splits(traces, units, templates)
        logger.info("%d temporal splits were merged", n_units - units.n_units)
    if len(units) == 0:
        raise NothingFound("no unit is left after curation")
    return align_to_peaks(traces, units, parameters), discarded, decisions


def drop_rare(units):
    """Leave out units of too few spikes to tell what they are."""
    rare = units.counts() < acceptance.RULES.min_spikes_of_large
    return units.without(rare), list_discarded(units, ["too few spikes" if is_rare else None for is_rare in rare])


def drop_noise(traces, units, parameters):
    """Leave out units that are no neurons or the tail of another's spikes.

    Returns
    -------
    units : Spikes
    templates : SplitHalfTemplates
        Of these units.
    discarded : DataFrame
    """
    templates = estimate_split_half(traces, units)
    max_lag_ms = acceptance.RULES.max_lag_of_redundant_ms
    near = are_near(traces, templates)
    reasons = acceptance.find_noise(traces, units, templates, parameters)
    redundant = find_redundant_units(units, traces.sampling_frequency, templates.norms(), near, max_lag_ms)
    for unit in np.flatnonzero(redundant):
        reasons[unit] = reasons[unit] or "the tail of a larger unit"
    bad = np.array([reason is not None for reason in reasons], dtype=bool)
    logger.info("%d units after merging, %d left out", bad.size, bad.sum())
    return units.without(bad), templates.take(~bad), list_discarded(units, reasons, templates.norms())


def align_to_peaks(traces, units, parameters) -> Spikes:
    """Move the spikes of each unit to where its mean waveform is largest, in the sign of peaks (units-29).

    The parts of a unit were found at one phase of its waveform or another, and merging took that of the largest part.
    """
    n_before, n_after = window_samples(traces, parameters)
    averaged = units.take(are_averaged(traces, units))
    waveforms = average_waveforms(traces, averaged.to_spike_vector(), units.n_units, n_before, n_after)
    lags = lags_of_peaks(waveforms, n_before, parameters.peak_sign)
    return units.moved(lags[units.label]).compact().within(traces.n_samples)
