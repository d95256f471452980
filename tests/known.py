"""Spike trains, templates and traces of known origin, for the tests of templates and units."""

import numpy as np
from probeinterface import generate_linear_probe
from spikeinterface.core import NumpyRecording

from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.groups import Groups
from huidurep_sorter.templates.split_half import as_split_half, energies
from huidurep_sorter.traces.traces import Traces

FS = 30000.0
DURATION = int(100 * FS)
TEMPLATE = np.stack([np.diff(np.exp(-0.5 * ((np.arange(61) - 24 - lag) / 4.0) ** 2)) for lag in (0, 3)])


def poisson(rate_hz, seed, refractory_ms=0.0):
    """Spike times of a neuron within `DURATION`."""
    rng = np.random.default_rng(seed)
    intervals = rng.exponential(FS / rate_hz, int(rate_hz * 200)) + refractory_ms * FS / 1000
    times = np.cumsum(intervals).astype("int64")
    return times[times < DURATION]


def units(*trains):
    """Spikes of one unit a train."""
    labels = np.repeat(np.arange(len(trains)), [len(t) for t in trains])
    return Spikes.at(np.concatenate(trains), 0, labels).compact()


def traces_of(recording, noise=1.0):
    """Traces whose noise is known."""
    return Traces(recording=recording, noise_levels=np.full(recording.get_num_channels(), noise))


def on_four_channels(array, fs=FS):
    """Traces of an array (n_samples, 4) on contacts 20 um apart."""
    recording = NumpyRecording([array.astype("float32")], fs)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(4)]))
    return traces_of(recording)


def two_neurons(rate_hz=8, spaces=([3, 12, 8, 1], [1, 8, 12, 4])):
    """Traces of two neurons, of these sizes on each of four channels, and their trains."""
    array = np.random.default_rng(0).normal(size=(DURATION, 4))
    wave = np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    trains = [poisson(rate_hz, seed, refractory_ms=3.0)[1:-1] for seed in (0, 1)]
    for train, space in zip(trains, spaces, strict=True):
        for time in train:
            array[time - 10 : time + 11] -= np.outer(wave, space)
    return on_four_channels(array), *trains


def templates_at(*places):
    """Split-half templates of one neuron, seen at channel 0 (place 0) to at channel 1 (place 1)."""
    array = np.zeros((len(places), 2, 60, 4))
    for unit, place in enumerate(places):
        array[unit, :, :, 0], array[unit, :, :, 1] = (1 - place) * TEMPLATE[0], place * TEMPLATE[0]
    return as_split_half(10 * array, [100] * len(places), max_lag=10)


def noise_with_spikes(n_spikes=200, size=15.0, seed=0):
    """20 s of unit noise on 4 channels 100 um apart, with spikes on channel 2; and their times."""
    rng = np.random.default_rng(seed)
    array = rng.normal(size=(int(20 * FS), 4)).astype("float32")
    times = 500 + np.arange(n_spikes) * int(19 * FS / max(n_spikes, 1))
    wave = -size * np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    for time in times:
        array[time - 10 : time + 11, 2] += wave
    recording = NumpyRecording([array], FS)
    probe = generate_linear_probe(4, ypitch=100)
    probe.set_device_channel_indices(np.arange(4))
    recording.set_probe(probe)
    return traces_of(recording), times


def waveforms(n_clusters=2, noise=0.0, lag=0, scale=1.0, seed=0):
    """Split-half waveforms (n_clusters, 2, 60, 6): copies of one, the last moved by `lag` samples and scaled."""
    rng = np.random.default_rng(seed)
    time = np.arange(60)

    def wave(at):
        return -np.exp(-(((time - at) / 3.0) ** 2)) + 0.4 * np.exp(-(((time - at - 9) / 6.0) ** 2))

    space = np.array([0.2, 0.6, 1.0, 0.5, 0.2, 0.1])
    out = np.stack([np.outer(wave(25), space)] * n_clusters)
    out[-1] = scale * np.outer(wave(25 + lag), space)
    out = 10 * out[:, None] + noise * rng.normal(size=(n_clusters, 2, 60, 6))
    return out


def split_half(array, counts=None):
    """Split-half templates of waveforms (n_units, 2, n_samples, n_channels)."""
    return as_split_half(array, np.full(len(array), 100) if counts is None else counts, max_lag=8)


def groups_of(templates, trains=None, views=None):
    """Groups of such templates; by default each has a train of its own and random views of channel 0."""
    n, rng = len(templates.counts), np.random.default_rng(0)
    depth_um = 20.0 * np.arange(templates.coefficients.shape[-1])
    return Groups(
        templates=templates,
        means=templates.coefficients.mean(axis=1),
        energies=energies(templates.coefficients),
        trains=[poisson(2, seed) for seed in range(n)] if trains is None else trains,
        presence=np.ones((n, 10), dtype="int64"),
        views=[{0: rng.normal(size=(8, 4))} for _ in range(n)] if views is None else views,
        locations_um=np.column_stack([0 * depth_um, depth_um]),
        sampling_frequency=FS,
        n_samples=DURATION,
    )
