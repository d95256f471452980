"""Spike trains of known origin, for the tests of curation."""

import numpy as np

from huidurep_sorter.units import make_units

FS = 30000.0
DURATION = int(100 * FS)


def poisson(rate_hz, seed, refractory_ms=0.0):
    rng = np.random.default_rng(seed)
    intervals = rng.exponential(FS / rate_hz, int(rate_hz * 200)) + refractory_ms * FS / 1000
    times = np.cumsum(intervals).astype("int64")
    return times[times < DURATION]


def units(*trains):
    samples = np.concatenate(trains)
    labels = np.repeat(np.arange(len(trains)), [len(t) for t in trains])
    return make_units(samples, labels)
