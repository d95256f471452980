"""What a refractory period says of a unit, and of two."""

import numpy as np

REFRACTORY_MS = 2.0
CENSORED_MS = 1.0  # the rest of a badly matched spike can match again; no unit fires twice this fast


def censor(units, sampling_frequency):
    """Where a unit fires twice within `CENSORED_MS`, only the first spike stays."""
    gap = CENSORED_MS * sampling_frequency / 1000
    kept = np.ones(len(units), dtype=bool)
    for label, times in enumerate(units.trains()):
        indices = np.flatnonzero(units.label == label)
        last = -np.inf
        for index, time in zip(indices, times, strict=True):
            kept[index] = time - last > gap
            if kept[index]:
                last = time
    return units.select(kept)


def pair_ratio(train_a, train_b, sampling_frequency, duration):
    """Pairs of spikes of two units within the refractory period, over those expected of independent units.

    Returns
    -------
    ratio : float
    expected : float
    """
    low, high = CENSORED_MS * sampling_frequency / 1000, REFRACTORY_MS * sampling_frequency / 1000

    def count(reach):
        reach = int(reach)
        return (np.searchsorted(train_b, train_a + reach, "right") - np.searchsorted(train_b, train_a - reach)).sum()

    expected = 2.0 * len(train_a) * len(train_b) * (high - low) / duration
    return float((count(high) - count(low)) / max(expected, 1e-9)), float(expected)


def violation_ratio(train, sampling_frequency, duration):
    """Pairs of a unit's spikes within the refractory period, over those of a Poisson process of its rate.

    Returns
    -------
    ratio : float
    expected : float
    """
    low, high = CENSORED_MS * sampling_frequency / 1000, REFRACTORY_MS * sampling_frequency / 1000
    intervals = np.diff(np.sort(train))
    observed = np.sum((intervals > low) & (intervals < high))
    expected = len(train) ** 2 * (high - low) / duration
    return float(observed / max(expected, 1.0)), float(expected)
