"""Noise levels of traces of known noise."""

import numpy as np
from spikeinterface.core import NumpyRecording

from huidurep_sorter.traces.noise import estimate_noise


def test_noise_is_that_of_each_channel_the_same_each_time_and_without_a_word(capfd):
    traces = (np.random.default_rng(0).normal(size=(90_000, 3)) * [1.0, 5.0, 20.0]).astype("float32")
    recording = NumpyRecording([traces], 30000.0)
    first, second = (estimate_noise(recording, seed=1) for _ in range(2))
    np.testing.assert_allclose(first, [1.0, 5.0, 20.0], rtol=0.05)
    np.testing.assert_array_equal(first, second)
    assert capfd.readouterr().err == ""
