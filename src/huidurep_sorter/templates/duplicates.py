"""Spikes that were found twice: whole units that repeat another, and single spikes."""

import numpy as np

COINCIDENCE_MS = 0.4
MAX_SHARED_FRACTION = 0.6
SATELLITE_MS = 0.5
MIN_SATELLITES = 0.1  # of a unit's spikes


def are_echoes(units, sampling_frequency, size, near, max_lag_ms):
    """Units most of whose spikes lie at one lag from those of one larger unit.

    At lag 0 both are the same spikes, found twice; at 1 or 2 ms they are the tail of a large spike.

    Parameters
    ----------
    units : Units
    sampling_frequency : float
    size : (n_units,) float
        Of two units the one of the larger size stays.
    near : (n_units, n_units) bool
        Units so far apart that they can't see the same spikes aren't compared.
    max_lag_ms : float

    Returns
    -------
    bad : (n_units,) bool
    """
    order = np.argsort(size, kind="stable")
    trains = units.trains()
    bad = np.zeros(len(size), dtype=bool)
    for position, small in enumerate(order):
        bad[small] = any(
            shared_fraction(trains[small], trains[large], sampling_frequency, max_lag_ms) > MAX_SHARED_FRACTION
            for large in order[position + 1 :]
            if near[small, large]
        )
    return bad


def are_satellites(units, sampling_frequency, size, near, duration):
    """Spikes that a small template found in what a large one had left of a spike.

    Known by number: where more of a unit's spikes coincide with those of a larger unit than chance would explain, all
    of them that do are taken for such.

    Parameters
    ----------
    units : Units
    sampling_frequency : float
    size : (n_units,) float
    near : (n_units, n_units) bool
    duration : int
        Samples of the recording.

    Returns
    -------
    bad : (n_spikes,) bool
    """
    reach = SATELLITE_MS * sampling_frequency / 1000
    bad = np.zeros(len(units), dtype=bool)
    trains = units.trains()
    order = np.argsort(size, kind="stable")[::-1]
    for position, small in enumerate(order):
        train, repeated = trains[small], np.zeros(len(trains[small]), dtype=bool)
        for large in order[:position]:
            if not near[small, large]:
                continue
            coincide = np.abs(lags_to_nearest(train, trains[large])).min(axis=1) <= reach
            expected = len(train) * len(trains[large]) * 2 * reach / duration
            if coincide.sum() > MIN_SATELLITES * len(train) + 3 * expected:
                repeated |= coincide
        bad[units.label == small] = repeated
        trains[small] = train[~repeated]
    return bad


def shared_fraction(train, other, sampling_frequency, max_lag_ms):
    """Largest fraction of the one's spikes that lie within `COINCIDENCE_MS` of one lag to the other's."""
    step = COINCIDENCE_MS / 2 * sampling_frequency / 1000
    n_steps = int(round(max_lag_ms * sampling_frequency / 1000 / step))
    reach = (n_steps + 2) * step
    lags = lags_to_nearest(train, other).ravel()
    counts, _ = np.histogram(lags, bins=np.arange(-n_steps - 2, n_steps + 3) * step)
    return np.convolve(counts, np.ones(4), "valid").max() / len(train) if np.abs(lags).min() <= reach else 0.0


def lags_to_nearest(times, train):
    """Samples from each time to the spikes of a train before and after it, (n_times, 2) int64; huge where none is."""
    train = np.concatenate([[-(2**62)], train, [2**62]])
    after = np.searchsorted(train, times)
    return np.column_stack([train[after - 1], train[after]]) - times[:, None]
