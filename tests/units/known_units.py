"""Units of known origin, for the tests of what is said of units."""

from dataclasses import replace

import numpy as np

from huidurep_sorter.spikes.spikes import Spikes
from tests.known import DURATION, on_four_channels, poisson, units


def neuron_and_mixture(from_share=0.0):
    """Traces, units and peaks: a neuron on channel 0, which fires from a share of the time on, and two as one unit."""
    rng = np.random.default_rng(0)
    array, wave = rng.normal(size=(DURATION, 4)), np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    trains = [poisson(rate_hz, seed, refractory_ms=3.0)[1:-1] for seed, rate_hz in enumerate((8, 25, 25))]
    trains[0] = trains[0][trains[0] > from_share * DURATION]
    for train, channel, size in zip(trains, (0, 2, 3), (12, 6, 6), strict=True):
        for time in train:
            array[time - 10 : time + 11, channel] -= size * wave
    spikes = units(trains[0], np.sort(np.concatenate(trains[1:])))
    spikes = spikes.take(np.argsort(spikes.sample_index, kind="stable"))
    samples = np.concatenate(trains)
    owner = np.repeat(np.arange(3), [len(train) for train in trains])
    features = 0.3 * rng.normal(size=(len(samples), 8)) + np.array([5.0, 0.5, 0.0])[owner][:, None]
    peaks = replace(Spikes.at(samples, np.array([0, 2, 3])[owner]), features=features.astype("float32"))
    return on_four_channels(array), spikes, peaks
