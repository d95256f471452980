"""From matched spikes to units, on traces of known neurons."""

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.units.curation import align_to_peaks, curate, drop_rare
from tests.known import DURATION, on_four_channels, poisson, units

PARAMETERS = SortingParameters()


def test_a_positive_spike_is_at_its_own_peak_by_default():
    train = np.arange(1000, DURATION - 1000, 3000)
    array = np.random.default_rng(0).normal(size=(DURATION, 4))
    for lag, size in ((-1, 15), (0, 30), (1, 15), (15, -5), (16, -12), (17, -5)):
        array[train + lag, 2] += size
    found = align_to_peaks(on_four_channels(array), units(train + 16), SortingParameters())
    np.testing.assert_array_equal(found.sample_index, train)


@pytest.mark.parametrize(("peak_sign", "at"), [("neg", 0), ("pos", 12), ("both", 12)])
def test_spikes_are_moved_to_the_peak_of_their_unit(peak_sign, at):
    train = np.arange(1000, DURATION - 1000, 3000)
    array = np.random.default_rng(0).normal(size=(DURATION, 4))
    for lag, size in ((-1, -10), (0, -20), (1, -10), (11, 12), (12, 25), (13, 12)):
        array[train + lag, 2] += size
    found = align_to_peaks(on_four_channels(array), units(train + 11), SortingParameters(peak_sign=peak_sign))
    np.testing.assert_array_equal(found.sample_index, train + at)
    np.testing.assert_array_equal(found.shift, at - 11)


def test_units_of_too_few_spikes_are_left_out():
    many, few = np.arange(5) * 1000, np.arange(4) * 1000 + 500
    left, discarded = drop_rare(units(few, many))
    assert discarded[["reason", "num_spikes"]].to_numpy().tolist() == [["too few spikes", 4]]
    assert left.n_units == 1 and left.sample_index.tolist() == many.tolist()


@pytest.fixture(scope="module")
def neurons():
    """Traces of two neurons, on channels 0 and 3, and their trains."""
    array = np.random.default_rng(0).normal(size=(DURATION, 4))
    wave = np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    trains = [poisson(20, seed, refractory_ms=3.0)[1:-1] for seed in (0, 1)]
    for train, channel in zip(trains, (0, 3), strict=True):
        for time in train:
            array[time - 10 : time + 11, channel] -= 15 * wave
    return on_four_channels(array), *trains


def test_what_matching_made_of_two_neurons_becomes_two_units(neurons):
    traces, first, second = neurons
    matched = units(first[::2], first[1::2], second, second[::3] + 2)  # two parts, and a copy
    found, discarded, decisions = curate(traces, matched, PARAMETERS)
    assert found.n_units == 2 and len(discarded) == 0
    assert (decisions["decision"] == "merged").sum() == 2  # the parts, and what the copy shares with its unit
    for train, truth in zip(found.trains(), (first, second), strict=True):
        assert np.isin(truth, train).mean() > 0.99 and len(train) < 1.01 * len(truth)


@pytest.mark.parametrize(
    "matched",
    [
        units(np.arange(4) * 9000 + 500),
        Spikes.at(np.arange(100) + 2 * DURATION, 0, 0),  # beyond the recording
    ],
)
def test_where_no_unit_is_left_it_is_said(neurons, matched):
    with pytest.raises(NothingFound, match="no unit has enough spikes"):
        curate(neurons[0], matched, PARAMETERS)
