"""Templates of few spikes from denoised ones, on spikes of known shape."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.denoising import RULES, blend, denoise_few, on_clock
from huidurep_sorter.templates.estimation import estimate_templates
from tests.known import traces_of

SIZES = np.array([2.0, 5.0, 3.0, 1.0])


def shape(t_ms):
    """A spike with a trough at 0 and a slow return."""
    return -np.exp(-((t_ms / 0.15) ** 2)) + 0.35 * np.exp(-(((t_ms - 0.5) / 0.3) ** 2))


def neuron(n_spikes, fs=30000.0, seed=0):
    """Traces with the spikes of one neuron, its spikes, and its true template."""
    rng = np.random.default_rng(seed)
    parameters = SortingParameters(torch_device="cpu")
    times = (0.01 * fs + np.arange(n_spikes) * 0.012 * fs).astype("int64")
    array = rng.normal(size=(int(times[-1] + 0.01 * fs), 4))
    t_ms = 1000 * np.arange(-int(0.0025 * fs), int(0.003 * fs)) / fs
    for time in times:
        array[time + np.round(t_ms * fs / 1000).astype("int64")] += np.outer(shape(t_ms), SIZES)
    recording = NumpyRecording([array.astype("float32")], fs)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(4)]))
    traces, spikes = traces_of(recording), Spikes.at(times, 1, 0)
    templates = estimate_templates(traces, spikes, parameters)
    clock_ms = 1000 * (np.arange(templates.num_samples) - templates.nbefore) / fs
    return traces, spikes, templates, np.outer(shape(clock_ms), SIZES), parameters


def error(templates, truth):
    return ((templates.get_dense_templates()[0] - truth) ** 2).sum() / (truth**2).sum()


@pytest.mark.parametrize("fs", [20000.0, 30000.0])
@pytest.mark.parametrize("n_spikes", [5, 10, 20])
def test_templates_of_few_spikes_come_nearer_to_the_truth(n_spikes, fs):
    traces, spikes, templates, truth, parameters = neuron(n_spikes, fs)
    found = denoise_few(traces, templates, spikes, [n_spikes], parameters)
    assert error(found, truth) < 0.7 * error(templates, truth)
    np.testing.assert_array_equal(found.sparsity_mask, templates.sparsity_mask)
    assert found.nbefore == templates.nbefore and list(found.unit_ids) == list(templates.unit_ids)


def test_templates_of_many_spikes_and_those_of_svd_stay_as_they_are():
    traces, spikes, templates, _, parameters = neuron(5)
    assert denoise_few(traces, templates, spikes, [RULES.max_spikes + 1], parameters) is templates
    svd = SortingParameters(features="svd")
    assert denoise_few(traces, templates, spikes, [5], svd) is templates


def test_a_mean_is_resampled_at_the_times_that_its_window_covers():
    class Config:
        n_before, sampling_frequency = 40, 30000.0

    known_s = (np.arange(121) - 40) / 30000
    clock_s = np.arange(-60, 60) / 25000
    inside, values = on_clock(np.sin(2000 * known_s)[:, None], Config, clock_s)
    assert clock_s[inside[0]] >= known_s[0] and clock_s[inside[0] - 1] < known_s[0]
    np.testing.assert_allclose(values[:, 0], np.sin(2000 * clock_s[inside]), atol=1e-4)


def test_a_denoised_mean_counts_as_much_as_it_is_right():
    rng, truth = np.random.default_rng(0), np.outer(shape(np.linspace(-1, 1, 60)), SIZES)
    mean = truth + 0.3 * rng.normal(size=truth.shape)
    noise = 0.3**2 * truth.size
    np.testing.assert_allclose(blend(mean, truth, noise), truth, atol=0.1)
    np.testing.assert_allclose(blend(mean, truth + 5, noise), mean, atol=0.1)
    np.testing.assert_array_equal(blend(mean, mean, 0.0), mean)
