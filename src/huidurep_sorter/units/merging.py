"""Units that are one neuron, and what becomes of their spikes."""

from huidurep_sorter.spikes.spike_trains import censor
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.agglomeration import find_groups, unite_spikes


def merge_units(traces, units, parameters):
    """Merge units that are probably one neuron; what it fired at once counts once.

    Returns
    -------
    units : Spikes
    decisions : DataFrame
        As from `find_groups`.
    """
    *groups, decisions = find_groups(traces, units, parameters, "units")
    return regroup(traces, units, *groups), decisions


def regroup(traces, units, groups, shifts) -> Spikes:
    """Make units of groups of units, each moved by its shift; leave out spikes that a group fired at once."""
    united = unite_spikes(units, groups, shifts).compact()
    return censor(united, traces.sampling_frequency).within(traces.n_samples)
