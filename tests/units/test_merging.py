"""Units that are one neuron become one unit."""

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.units.merging import merge_units, regroup
from tests.known import DURATION, on_four_channels, poisson, units

REFRACTORY_MS = 3.0


def seen(*trains_and_shapes, seed=0):
    """Traces of neurons, each of a size on every channel, and their spikes as units."""
    array = np.random.default_rng(seed).normal(size=(DURATION, 4))
    wave = np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    trains = [train[(train > 100) & (train < DURATION - 100)] for train, _ in trains_and_shapes]
    for train, (_, size) in zip(trains, trains_and_shapes, strict=True):
        for time in train:
            array[time - 10 : time + 11] -= np.outer(wave, size)
    return on_four_channels(array), units(*trains)


def test_parts_of_one_neuron_become_one_unit_and_another_neuron_stays():
    train, other = poisson(20, 0, REFRACTORY_MS), poisson(20, 1, REFRACTORY_MS)
    traces, parts = seen((train[::2], [12, 0, 0, 0]), (train[1::2], [12, 0, 0, 0]), (other, [0, 0, 12, 0]))
    merged, decisions = merge_units(traces, parts, SortingParameters())
    assert merged.n_units == 2
    assert decisions[["stage", "decision"]].iloc[0].tolist() == ["units", "merged"]
    assert decisions["probability"].iloc[0] > 0.5
    assert sorted(merged.counts()) == pytest.approx(sorted([len(train), len(other)]), abs=3)


@pytest.mark.parametrize("rate_hz", [2, 20])
def test_two_neurons_of_like_shape_and_other_size_stay_apart(rate_hz):
    """They are 12 noise units apart, which is a third of their size."""
    first, second = (poisson(rate_hz, seed, REFRACTORY_MS) for seed in (0, 1))
    traces, both = seen((first, [8, 12, 5, 1]), (second, [4, 13, 9, 2]))
    assert merge_units(traces, both, SortingParameters())[0].n_units == 2


def test_small_and_large_spikes_of_a_bursting_neuron_are_one_unit():
    """The second of two spikes has half the size of the first, and follows it after 4 to 8 ms."""
    rng = np.random.default_rng(0)
    first = poisson(5, 0, 30.0)
    second = first[rng.random(len(first)) < 0.7]
    second = second + rng.integers(120, 240, len(second))
    traces, parts = seen((first, [8, 14, 6, 1]), (second, [4, 8, 4, 1]))
    assert merge_units(traces, parts, SortingParameters())[0].n_units == 1


def test_regrouping_moves_numbers_censors_and_keeps_within_the_recording():
    traces = on_four_channels(np.zeros((1000, 4)))
    spikes = units(np.array([10, 500]), np.array([503, 900]), np.array([700, 998]))
    found = regroup(traces, spikes, np.array([0, 0, 2]), np.array([0, 2, 5]))
    assert found.label.tolist() == [0, 0, 1, 0]  # of 500 and 505 the first stays; 1003 is beyond the end
    assert found.sample_index.tolist() == [10, 500, 705, 902]
    assert found.shift.tolist() == [0, 0, 5, 2]
