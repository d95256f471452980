"""From matched spikes to units: duplicates, merges and splits."""

from dataclasses import dataclass

import pandas as pd

from huidurep_sorter.runtime import NothingFound, stage
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.duplicates import find_duplicated_spikes
from huidurep_sorter.templates.split_half import are_averaged
from huidurep_sorter.templates.waveforms import average_waveforms, lags_of_peaks, window_samples
from huidurep_sorter.units.discarded import list_discarded
from huidurep_sorter.units.merging import merge_units
from huidurep_sorter.units.splitting import split_mixtures


@dataclass(frozen=True, kw_only=True)
class CurationRules:
    """What a unit must have to be looked at."""

    min_spikes: int = 5  # of fewer nothing can be told; a limit, which the networks saw in training (units-48)


RULES = CurationRules()


@stage("curate")
def curate(traces, matched, parameters):
    """Remove duplicates, merge units, and split what is two.

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
        Which units were merged or split: as `find_groups` gives.

    Raises
    ------
    NothingFound
        If no unit is left.
    """
    units, discarded = remove_duplicates(traces, matched)
    if len(units) == 0:
        raise NothingFound("no unit has enough spikes")
    units, merges = merge_units(traces, units, parameters)
    units, splits = split_mixtures(traces, align_to_peaks(traces, units, parameters), parameters)
    return units, discarded, pd.concat([merges, splits], ignore_index=True)


def remove_duplicates(traces, matched):
    """Remove what was found twice, and units of too few spikes to tell what they are.

    Returns
    -------
    units : Spikes
    discarded : DataFrame
    """
    units, discarded = drop_rare(matched.within(traces.n_samples))
    if len(units):
        units, more = drop_rare(units.take(~find_duplicated_spikes(traces, units)))
        discarded = pd.concat([discarded, more], ignore_index=True)
    return units, discarded


def drop_rare(units):
    """Leave out units of too few spikes to tell what they are."""
    rare = units.counts() < RULES.min_spikes
    return units.without(rare), list_discarded(units, ["too few spikes" if is_rare else None for is_rare in rare])


def align_to_peaks(traces, units, parameters) -> Spikes:
    """Move the spikes of each unit to where its mean waveform is largest, in the sign of peaks (units-29).

    The parts of a unit were found at one phase of its waveform or another, and merging took that of the largest part.
    """
    n_before, n_after = window_samples(traces, parameters)
    averaged = units.take(are_averaged(traces, units))
    waveforms = average_waveforms(traces, averaged.to_spike_vector(), units.n_units, n_before, n_after)
    lags = lags_of_peaks(waveforms, n_before, parameters.peak_sign)
    return units.moved(lags[units.label]).compact().within(traces.n_samples)
