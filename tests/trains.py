"""Spike trains and templates of known origin, for the tests of curation."""

import numpy as np
from spikeinterface.core import NumpyRecording

from huidurep_sorter.spikes.spikes import make_units
from huidurep_sorter.templates import agglomeration as merging

FS = 30000.0
DURATION = int(100 * FS)
TEMPLATE = np.stack([np.diff(np.exp(-0.5 * ((np.arange(61) - 24 - lag) / 4.0) ** 2)) for lag in (0, 3)])


def poisson(rate_hz, seed, refractory_ms=0.0):
    rng = np.random.default_rng(seed)
    intervals = rng.exponential(FS / rate_hz, int(rate_hz * 200)) + refractory_ms * FS / 1000
    times = np.cumsum(intervals).astype("int64")
    return times[times < DURATION]


def units(*trains):
    samples = np.concatenate(trains)
    labels = np.repeat(np.arange(len(trains)), [len(t) for t in trains])
    return make_units(samples, labels)


def on_four_channels(traces):
    recording = NumpyRecording([traces.astype("float32")], FS)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(4)]))
    return recording


def templates_at(*places):
    """Halves of templates of one neuron, seen at channel 0 (place 0) to at channel 1 (place 1)."""
    array = np.zeros((len(places), 2, 60, 4))
    for unit, place in enumerate(places):
        array[unit, :, :, 0], array[unit, :, :, 1] = (1 - place) * TEMPLATE[0], place * TEMPLATE[0]
    return merging.as_halves(10 * array, [100] * len(places), max_lag=10)
