"""Which units are neurons, and which of them are isolated enough to be given to a user."""

from dataclasses import dataclass

import numpy as np

from huidurep_sorter.spikes.spike_trains import steady_violation_ratio
from huidurep_sorter.templates.estimation import RULES as TEMPLATE_RULES
from huidurep_sorter.templates.estimation import noise_energy
from huidurep_sorter.templates.split_half import split_half_window
from huidurep_sorter.templates.waveforms import read_waveforms


@dataclass(frozen=True, kw_only=True)
class AcceptanceRules:
    """What a unit must have to be kept. Norms are those of templates, in units of noise, over time and channels."""

    min_spikes: int = 20  # spikes; of fewer neither a template nor a refractory period can be told (units-39)
    min_spikes_of_large: int = 5  # spikes that a unit of any size must have (units-48)
    large_norm: float = 13.0  # over it, fewer spikes are enough, by the square of the norm (units-48)
    max_violation_ratio: float = 0.9  # of refractory violations, steadily (units-2, units-37, units-45)
    small_norm: float = 13.0  # under it: a unit that fires rarely is background's largest spikes (units-6, units-40)
    min_rate_of_small_hz: float = 1.5  # Hz; what a small unit must fire (units-6, units-40)
    faint_norm: float = 10.0  # under it: a unit stays only if it is distinct (units-13, units-40)
    min_nn_hit_rate_of_faint: float = 0.85  # of its nearest spikes, its own (units-13, units-40)
    max_violation_ratio_of_faint: float = 0.5  # pairs over a Poisson process (units-13, units-40)
    min_expected_of_sure: float = 10.0  # pairs; so many expected and hardly any there: a neuron for sure (units-47)
    max_violation_ratio_of_sure: float = 0.1  # of those pairs (units-47)
    rare_n_spikes: int = 100  # spikes; a unit of fewer is one only if they are alike (units-52)
    max_left_of_rare: float = 0.1  # of its energy, that the mean of its spikes leaves of each (units-52)
    max_noise_of_rare: float = 1.05  # times as much noise as there is, beside it: background (units-52)
    max_lag_of_redundant_ms: float = 3.0  # ms after a larger unit's spikes: its tail, found again (units-3, units-32)


RULES = AcceptanceRules()


def find_noise(traces, units, templates, parameters):
    """Find units that are no neurons, and say why.

    Parameters
    ----------
    traces : Traces
    units : Spikes
    templates : SplitHalfTemplates
        Of the units.
    parameters : SortingParameters
        `min_firing_rate` and `min_template_norm` are used.

    Returns
    -------
    reasons : list of (str or None)
        Of each unit; None for one that may be a neuron.
    """
    norms, reasons = templates.norms(), []
    for label, train in enumerate(units.trains()):
        reason = why_noise(
            n_spikes=len(train),
            duration_s=traces.duration_s,
            norm=norms[label],
            violation_ratio=steady_violation_ratio(
                traces.on_clock_of_signal(train), traces.sampling_frequency, traces.n_samples_with_signal
            ),
            alike=len(train) >= RULES.rare_n_spikes or are_alike(traces, train),
            min_firing_rate=parameters.min_firing_rate,
            min_norm=parameters.min_template_norm,
        )
        reasons.append(reason)
    return reasons


def why_noise(
    *,
    n_spikes,
    duration_s,
    norm,
    violation_ratio,
    alike,
    min_firing_rate,
    min_norm,
    rules=RULES,
):
    """Say why a unit is no neuron; None if it may be one.

    Parameters
    ----------
    n_spikes : int
    duration_s : float
        Of the recording.
    norm : float
        Of its template, in units of noise.
    violation_ratio : float
        As from `spike_trains.steady_violation_ratio`.
    alike : bool
        As from `are_alike`.
    min_firing_rate : float
        In Hz.
    min_norm : float
    rules : AcceptanceRules

    Returns
    -------
    reason : str or None
    """
    if n_spikes < least_spikes(norm, max(rules.min_spikes, min_firing_rate * duration_s), rules):
        return "too few spikes"
    if norm < min_norm:
        return "template too small"
    if norm < rules.small_norm and n_spikes < rules.min_rate_of_small_hz * duration_s:
        return "small template and few spikes"
    if violation_ratio > rules.max_violation_ratio:
        return "no refractory period"
    return None if alike else "few spikes, unlike one another"


def are_alike(traces, train, rules=RULES):
    """Say whether the few spikes of a unit are as their mean, but for noise; those of pops and steps are not.

    Parameters
    ----------
    traces : Traces
    train : (n_spikes,) int64
    rules : AcceptanceRules
    """
    n_before, n_after = split_half_window(traces.sampling_frequency)
    waveforms = read_waveforms(traces, train, n_before, n_after, np.arange(len(traces.noise_levels)))
    if len(waveforms) < 2:
        return False
    mean, noise = waveforms.mean(axis=0), noise_energy(traces, n_before + n_after, 1)
    seen = (mean**2).sum(axis=0) > TEMPLATE_RULES.min_energy_over_noise * noise / len(waveforms)
    left = ((waveforms - mean)[..., seen] ** 2).sum(axis=(1, 2)) * len(waveforms) / (len(waveforms) - 1)
    energy = (mean[:, seen] ** 2).sum()
    return bool(np.median(left) <= rules.max_noise_of_rare * noise[seen].sum() + rules.max_left_of_rare * energy)


def least_spikes(norm, min_spikes, rules=RULES):
    """Give the spikes that a unit of some norm must have: fewer than `min_spikes` if it is large.

    What a rare unit lacks in spikes its size makes up.
    """
    return max(rules.min_spikes_of_large, min_spikes * min(1.0, (rules.large_norm / max(norm, 1e-9)) ** 2))


def is_isolated(norm, nn_hit_rate, violation_ratio, n_expected, min_nn_hit_rate, rules=RULES):
    """Say whether units are distinct enough from others (units-7, units-15); faint units must be more so.

    Of a small unit few spikes are detected before templates are matched, and those lie among noise. If it fires often
    and keeps its refractory period all the same, it is a neuron.

    Parameters
    ----------
    norm, nn_hit_rate, violation_ratio : (n_units,) float
        Properties of the units.
    n_expected : (n_units,) float
        Pairs within the refractory period that a Poisson process of the unit's rate would have.
    min_nn_hit_rate : float
    rules : AcceptanceRules

    Returns
    -------
    isolated : (n_units,) bool
    """
    faint = norm < rules.faint_norm
    sure = (n_expected >= rules.min_expected_of_sure) & (violation_ratio <= rules.max_violation_ratio_of_sure)
    isolated = sure | (nn_hit_rate >= np.where(faint, rules.min_nn_hit_rate_of_faint, min_nn_hit_rate))
    return isolated & ~(faint & (violation_ratio > rules.max_violation_ratio_of_faint))
