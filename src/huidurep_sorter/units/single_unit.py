"""What speaks for a unit being one neuron, in numbers that a network weighs.

None depends on the units of traces or on the size of features.
"""

from dataclasses import dataclass

import numpy as np

from huidurep_sorter.spikes.spike_trains import (
    expected_violations,
    lags_to_nearest,
    steady_violation_ratio,
)
from huidurep_sorter.templates.evidence import violations
from huidurep_sorter.templates.split_half import are_near, differences


@dataclass(frozen=True, kw_only=True)
class EvidenceRules:
    """What is counted. The networks were trained with these; another value needs other networks."""

    tail_ms: float = 3.0  # ms after a larger unit's spike, in which its tail or a badly matched rest lies (units-63)
    most: float = 2.0  # a limit: a difference of templates that is larger says nothing more
    least: float = 1e-3  # a limit: against the logarithm of zero


RULES = EvidenceRules()

OF_TRAIN = (
    "log_n_spikes",
    "log_firing_rate",
    "log_expected_violations",  # of the refractory period, by a Poisson process
    "log_violations",  # over those expected
    "steady_violations",  # in most stretches of the recording; at most 2
    "log_following",  # of the larger unit near it that it follows most, over chance
)
OF_TEMPLATE = (
    "log_norm",  # in units of noise
    "log_snr",
    "log_n_channels",  # over which its energy is spread
    "least_difference",  # from another unit's template
    "log_norm_ratio",  # of that unit's template and its own
)
OF_SPIKES = (
    "nn_hit_rate",
    "log_share_detected",  # of the unit's spikes, those that were peaks before matching
    "log_residual",  # of a spike, median, in units of noise
    "log_scale",  # by which the mean waveform is like a spike, median
    "spread_of_scale",  # between the 16th and the 84th percentile
)
EVIDENCE = (*OF_TRAIN, *OF_TEMPLATE, *OF_SPIKES)


def describe_units(measured):
    """Give what speaks for each unit being one neuron, (n_units, n_evidence) float64, as `EVIDENCE` names it.

    Parameters
    ----------
    measured : Measured
    """
    return np.column_stack([describe_trains(measured), describe_templates(measured), describe_spikes(measured)])


def describe_trains(measured):
    """Give `OF_TRAIN` of each unit."""
    traces, units, norms = measured.traces, measured.units, measured.templates.norms()
    fs, n_samples = traces.sampling_frequency, traces.n_samples_with_signal
    near, reach, trains = are_near(traces, measured.templates), RULES.tail_ms * fs / 1000, units.trains()
    rows = []
    for unit, train in enumerate(trains):
        on_clock = traces.on_clock_of_signal(train)
        expected = expected_violations(len(train), fs, n_samples)
        larger = np.flatnonzero(near[unit] & (norms > norms[unit]))
        rows.append(
            (
                np.log(len(train)),
                np.log(len(train) / traces.duration_s),
                np.log(expected + 0.5),
                violations(train, fs, n_samples),
                min(steady_violation_ratio(on_clock, fs, n_samples), 2.0),
                max([log_following(train, trains[other], reach, n_samples) for other in larger], default=0.0),
            )
        )
    return np.array(rows)


def log_following(train, other, reach, n_samples):
    """Compare how many spikes follow one of another unit within `reach` samples with those that do by chance."""
    since = -lags_to_nearest(train, other)[:, 0]
    by_chance = len(train) * -np.expm1(-len(other) * reach / n_samples)
    return np.log(((since <= reach).sum() + 1) / (by_chance + 1))


def describe_templates(measured):
    """Give `OF_TEMPLATE` of each unit."""
    traces, templates = measured.traces, measured.templates
    norms, near = np.maximum(templates.norms(), 1.0), are_near(traces, templates)
    of_channels = (templates.coefficients.mean(axis=1) ** 2).sum(axis=1)
    n_channels = of_channels.sum(axis=1) ** 2 / np.maximum((of_channels**2).sum(axis=1), RULES.least)
    snr = (measured.size / np.maximum(traces.noise_levels, RULES.least)).max(axis=1)
    rows = []
    for unit, others in enumerate(near):
        others = np.flatnonzero(others & (np.arange(len(near)) != unit))
        difference, _ = differences(templates, unit, others)
        least, ratio = RULES.most, 1.0
        if len(others) and difference.min() < least:
            least, ratio = difference.min(), norms[others[difference.argmin()]] / norms[unit]
        rows.append(
            (np.log(norms[unit]), np.log(max(snr[unit], 1.0)), np.log(max(n_channels[unit], 1.0)), least, np.log(ratio))
        )
    return np.array(rows)


def describe_spikes(measured):
    """Give `OF_SPIKES` of each unit; of a unit of which no spike was read, as of perfect ones."""
    labels, counts, fits, rows = measured.units.label, measured.units.counts(), measured.fits, []
    n_detected = np.bincount(measured.owner[measured.owner >= 0], minlength=len(counts))
    for unit, own in enumerate(np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])):
        own = own[np.isfinite(fits.residual[own]) & np.isfinite(fits.scale[own])]
        scale, residual = (fits.scale[own], fits.residual[own]) if len(own) else (np.ones(1), np.ones(1))
        small, middle, large = np.quantile(scale, (0.16, 0.5, 0.84))
        rows.append(
            (
                measured.nn_hit_rate[unit],
                np.log((n_detected[unit] + 0.5) / (counts[unit] + 0.5)),
                np.log(max(np.median(residual), RULES.least)),
                np.log(max(middle, RULES.least)),
                large - small,
            )
        )
    return np.array(rows)
