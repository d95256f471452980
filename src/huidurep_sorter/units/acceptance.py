"""Which units are given to a user: those that are probably a neuron, as a network says of what is known of each."""

import logging
from collections import Counter
from dataclasses import replace

import numpy as np

from huidurep_sorter.encoder.small_networks import load_networks
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.units.discarded import list_discarded
from huidurep_sorter.units.single_unit import describe_units

logger = logging.getLogger(__name__)


def judge(measured, parameters):
    """Estimate how probable it is that each unit is a neuron, and that it is one alone.

    Parameters
    ----------
    measured : Measured
    parameters : SortingParameters
        `features` is used.

    Returns
    -------
    measured : Measured
        With `probability`.
    """
    networks = load_networks("single_unit", parameters.features)
    return replace(measured, probability=networks.probability(describe_units(measured)))


def keep_neurons(measured, parameters):
    """Keep the units that are probably a neuron.

    Parameters
    ----------
    measured : Measured
        As from `judge`.
    parameters : SortingParameters
        `min_unit_probability`, `min_firing_rate` and `min_template_norm` are used.

    Returns
    -------
    kept : Measured
    discarded : DataFrame
        The others, as `list_discarded` gives.

    Raises
    ------
    NothingFound
        If no unit is left.
    """
    units, norms = measured.units, measured.templates.norms()
    reasons = [
        why_discarded(probability, n_spikes / measured.traces.duration_s, norm, parameters)
        for probability, n_spikes, norm in zip(measured.probability[:, 0], units.counts(), norms, strict=True)
    ]
    for reason, count in Counter(filter(None, reasons)).items():
        logger.info("%d units are left out: %s", count, reason)
    kept = np.array([reason is None for reason in reasons])
    if not kept.any():
        raise NothingFound("no unit is probably a neuron")
    return measured.take(kept), list_discarded(units, reasons, norms)


def why_discarded(probability, firing_rate, norm, parameters):
    """Say why a unit is left out; None if it is kept."""
    if norm < parameters.min_template_norm:
        return "template too small"
    if firing_rate < parameters.min_firing_rate:
        return "fires too rarely"
    return None if probability >= parameters.min_unit_probability else "probably no neuron"
