"""Spikes with labels."""

import numpy as np
from spikeinterface.core import NumpyRecording

from huidurep_sorter.spikes.spikes import count_presence, drop
from tests.trains import units


def test_dropping_units_numbers_the_rest_from_zero():
    left = drop(units(np.array([1]), np.array([5]), np.array([9])), np.array([True, False, False]))
    np.testing.assert_array_equal(left.label, [0, 1])
    np.testing.assert_array_equal(left.sample_index, [5, 9])


def test_presence_is_counted_in_stretches_of_10_s():
    recording = NumpyRecording([np.zeros((25_000, 1), dtype="float32")], 1000.0)
    counts = count_presence(recording, units(np.array([0, 9_999, 10_000]), np.array([24_999])))
    np.testing.assert_array_equal(counts, [[2, 1, 0], [0, 0, 1]])
