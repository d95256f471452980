"""Noise levels of traces of known noise."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.noise import estimate_noise, replace_silence


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
