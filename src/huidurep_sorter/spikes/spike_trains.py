"""What spike trains say: who fires when, and how soon after one another."""

from dataclasses import dataclass

import numpy as np
from spikeinterface.curation import curation_tools

from huidurep_sorter.runtime import keep_compiled


@dataclass(frozen=True, kw_only=True)
class TrainRules:
    """Times that belong to the physiology of a neuron, or to how its trains are compared."""

    refractory_ms: float = 2.0  # ms; a neuron's spikes lie farther apart than this (units-1, units-34)
    censored_ms: float = 1.0  # ms; the rest of a badly matched spike can match again so soon (units-1, units-34)
    n_stretches: int = 16  # of a recording, in most of which a unit must violate to be no neuron (units-45)
    trimmed_share: float = 0.4  # of them, those with most violations, which do not count (units-51)
    presence_bin_s: float = 10.0  # s; units of one neuron take turns in stretches of at least this (units-20, units-42)

    def refractory_samples(self, sampling_frequency):
        """Give the end of the censored period and that of the refractory period, in samples."""
        return tuple(ms * sampling_frequency / 1000 for ms in (self.censored_ms, self.refractory_ms))


TRAIN_RULES = TrainRules()


def pair_ratio(train_a, train_b, sampling_frequency, duration, rules=TRAIN_RULES):
    """Count pairs of spikes of two units within the refractory period, over those expected of independent units.

    Parameters
    ----------
    train_a, train_b : (n,) int64
        Samples, ascending.
    sampling_frequency : float
    duration : int
        Samples of the recording.

    Returns
    -------
    ratio : float
    expected : float
        Number of pairs.
    """
    low, high = rules.refractory_samples(sampling_frequency)

    def count(reach):
        reach = int(reach)
        return (np.searchsorted(train_b, train_a + reach, "right") - np.searchsorted(train_b, train_a - reach)).sum()

    expected = 2.0 * len(train_a) * len(train_b) * (high - low) / duration
    return float((count(high) - count(low)) / max(expected, 1e-9)), float(expected)


def violation_ratio(train, sampling_frequency, duration, rules=TRAIN_RULES):
    """Count a unit's spike pairs within the refractory period, over those of a Poisson process of its rate.

    Returns
    -------
    ratio : float
    expected : float
        Number of pairs.
    """
    observed = len(find_violations(np.sort(train), sampling_frequency, rules))
    expected = expected_violations(len(train), sampling_frequency, duration, rules)
    return float(observed / max(expected, 1.0)), float(expected)


def find_violations(train, sampling_frequency, rules=TRAIN_RULES):
    """Find the spikes that follow another within the refractory period, (n,) int64, of an ascending train."""
    low, high = rules.refractory_samples(sampling_frequency)
    intervals = np.diff(train)
    return train[1:][(intervals > low) & (intervals < high)]


def expected_violations(n_spikes, sampling_frequency, duration, rules=TRAIN_RULES):
    """Count the pairs within the refractory period that a Poisson process has, of so many spikes in so many samples."""
    low, high = rules.refractory_samples(sampling_frequency)
    return np.asarray(n_spikes, dtype="float64") ** 2 * (high - low) / duration


def steady_violation_ratio(train, sampling_frequency, duration, rules=TRAIN_RULES):
    """Count the violations of a unit as `violation_ratio` does, but without the stretches that have most of them.

    A mixture of neurons violates the refractory period all the time. A neuron of which something else was taken for
    spikes, as in an artefact, does so in a few moments, which decide nothing here.

    Parameters
    ----------
    train : (n,) int64
        Samples, ascending.
    sampling_frequency : float
    duration : int
        Samples of the recording.

    Returns
    -------
    ratio : float
    """
    length, violating = duration / rules.n_stretches, find_violations(train, sampling_frequency, rules)
    edges = length * np.arange(rules.n_stretches + 1)
    n_spikes, observed = (np.diff(np.searchsorted(times, edges)) for times in (train, violating))
    kept = np.argsort(observed, kind="stable")[: int(round((1 - rules.trimmed_share) * rules.n_stretches))]
    expected = expected_violations(n_spikes[kept], sampling_frequency, length, rules).sum()
    return float(observed[kept].sum() / max(expected, 1.0))


def censor(spikes, sampling_frequency, rules=TRAIN_RULES):
    """Keep only the first of a unit's spikes that lie within the censored period of each other."""
    keep_compiled(curation_tools)
    gap, _ = rules.refractory_samples(sampling_frequency)
    kept = np.ones(len(spikes), dtype=bool)
    for label, times in enumerate(spikes.trains()):
        repeated = curation_tools.find_duplicated_spikes(times, gap, method="keep_first_iterative")
        kept[np.flatnonzero(spikes.label == label)[repeated]] = False
    return spikes.take(kept)


def lags_to_nearest(times, train):
    """Find the spikes of a train before and after each time, as samples from it.

    Returns
    -------
    lags : (n_times, 2) int64
        Not positive, and positive; huge where there is no such spike.
    """
    train = np.concatenate([[-(2**62)], train, [2**62]])
    after = np.searchsorted(train, times)
    return np.column_stack([train[after - 1], train[after]]) - times[:, None]


def are_coincident(times, train, reach):
    """Say which times have a spike of a train within so many samples, (n_times,) bool."""
    return np.abs(lags_to_nearest(times, train)).min(axis=1) <= reach


def count_presence(spikes, sampling_frequency, n_samples, rules=TRAIN_RULES):
    """Count the spikes of each unit in each stretch of `presence_bin_s`, (n_units, n_bins) int64."""
    bin_size = rules.presence_bin_s * sampling_frequency
    n_bins = int(np.ceil(n_samples / bin_size))
    place = spikes.label * n_bins + (spikes.sample_index // bin_size).astype("int64")
    return np.bincount(place, minlength=spikes.n_units * n_bins).reshape(spikes.n_units, n_bins)


def presence_overlap(counts):
    """Measure how often two units fire in the same stretches, over what is expected of stationary units.

    Parameters
    ----------
    counts : (n_units, n_bins) int64
        Spikes of each unit in each stretch.

    Returns
    -------
    overlap : (n_units, n_units) float64
        1 for independent units, 0 for units that take turns.
    """
    share = counts / counts.sum(axis=1, keepdims=True)
    return share @ share.T * counts.shape[1]
