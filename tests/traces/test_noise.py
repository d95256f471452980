"""Noise levels of traces of known noise."""

import numpy as np
import pytest
from scipy.signal import lfilter
from spikeinterface.core import NumpyRecording

from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.noise import estimate_noise, invert_spectrum, replace_silence


def test_noise_is_that_of_each_channel_the_same_each_time_and_without_a_word(capfd):
    traces = (np.random.default_rng(0).normal(size=(90_000, 3)) * [1.0, 5.0, 20.0]).astype("float32")
    recording = NumpyRecording([traces], 30000.0)
    first, second = (estimate_noise(recording, seed=1) for _ in range(2))
    np.testing.assert_allclose(first, [1.0, 5.0, 20.0], rtol=0.05)
    np.testing.assert_array_equal(first, second)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        ([0.0, 2.0, 3.0, 4.0], [3.0, 2.0, 3.0, 4.0]),
        ([3e-9, 2.0, 2.0], [2.0, 2.0, 2.0]),  # rounding
        ([3e-4, 2.0, 2.0], [3e-4, 2.0, 2.0]),
        ([0.0, 0.0, 5e-6], [5e-6, 5e-6, 5e-6]),  # volts
        ([7e-25, 2.0, 9e-25, 1e-24], [2.0, 2.0, 2.0, 2.0]),  # a filter's last digits, on most channels
    ],
)
def test_silent_channels_have_the_noise_of_the_others(levels, expected):
    found = replace_silence(np.array(levels, dtype="float32"))
    np.testing.assert_array_equal(found, np.array(expected, dtype="float32"))
    assert found.dtype == "float32"


def test_silence_on_all_channels_is_nothing_to_sort():
    with pytest.raises(NothingFound, match="no channel has any noise"):
        replace_silence(np.zeros(4))


def kernel_of(array, fs=30000.0):
    runs = np.array([[start, min(start + int(fs), len(array))] for start in range(0, len(array), int(fs))])
    runs = runs.reshape(-1, 2)
    return invert_spectrum(NumpyRecording([array.astype("float32")], fs), runs)


def test_white_noise_weighs_all_frequencies_alike():
    kernel = kernel_of(np.random.default_rng(0).normal(size=(300_000, 4)))
    assert kernel[15] > 0.9 and np.abs(np.delete(kernel, 15)).max() < 0.03


@pytest.mark.parametrize("n_spikes", [0, 500])
def test_slow_noise_has_less_weight_also_where_neurons_fire(n_spikes):
    rng = np.random.default_rng(0)
    array = lfilter([1], [1, -0.6], rng.normal(size=(300_000, 4)), axis=0) * np.sqrt(1 - 0.6**2)
    for start in rng.integers(0, 299_000, n_spikes):
        array[start : start + 30] -= 20 * np.hanning(30)[:, None]
    kernel = kernel_of(array)
    frequency, weight = np.linspace(0, np.pi, 16), np.abs(np.fft.rfft(np.fft.ifftshift(kernel)))
    spectrum = (1 - 0.6**2) / np.abs(1 - 0.6 * np.exp(-1j * frequency)) ** 2
    np.testing.assert_allclose(weight[1:], 1 / np.maximum(spectrum[1:], 1), atol=0.12)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-12)


@pytest.mark.parametrize("array", [np.zeros((90_000, 2)), np.ones((100, 2)), np.zeros((0, 2))])
def test_without_noise_nothing_is_weighed(array):
    np.testing.assert_array_equal(kernel_of(array), [1.0])
