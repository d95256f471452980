"""What is one neuron, and what is none."""

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.spikes.spike_trains import pair_ratio
from huidurep_sorter.templates import agglomeration as merging
from huidurep_sorter.units import curation
from tests.trains import DURATION, FS, on_four_channels, poisson, templates_at, units

REFRACTORY_MS = 3.0


def n_groups(spikes, halves):
    groups, _ = curation.merge_groups(on_four_channels(np.zeros((DURATION, 4))), spikes, halves)
    return len(np.unique(groups))


def test_parts_of_a_slow_neuron_are_merged_by_the_few_pairs_that_they_lack():
    train = poisson(7, 0, REFRACTORY_MS)
    parts, halves = units(train[::2], train[1::2]), templates_at(0.0, 0.3)
    ratio, expected = pair_ratio(train[::2], train[1::2], FS, DURATION)
    assert ratio == 0 and 1 < expected < curation.ENOUGH_EXPECTED_PAIRS
    assert 0.35 < merging.differences(halves, 0)[0][1] < 0.5
    assert n_groups(parts, halves) == 1


def test_two_slow_neurons_of_like_templates_stay_apart():
    first, second = (poisson(4.5, seed, REFRACTORY_MS) for seed in (0, 1))
    ratio, expected = pair_ratio(first, second, FS, DURATION)
    assert ratio > 0.35 and 1 < expected < curation.ENOUGH_EXPECTED_PAIRS
    assert n_groups(units(first, second), templates_at(0.0, 0.3)) == 2


def test_where_no_pair_is_expected_templates_decide():
    first, second = (poisson(1, seed, REFRACTORY_MS) for seed in (0, 1))
    assert pair_ratio(first, second, FS, DURATION)[1] < curation.MIN_EXPECTED_PAIRS
    assert n_groups(units(first, second), templates_at(0.0, 0.3)) == 2
    assert n_groups(units(first, second), templates_at(0.0, 0.15)) == 1


@pytest.mark.parametrize(("peak_sign", "at"), [("neg", 0), ("pos", 12), ("both", 12)])
def test_spikes_are_moved_to_the_peak_of_their_unit(peak_sign, at):
    train = np.arange(1000, DURATION - 1000, 3000)
    traces = np.random.default_rng(0).normal(size=(DURATION, 4))
    for lag, size in ((-1, -10), (0, -20), (1, -10), (11, 12), (12, 25), (13, 12)):
        traces[train + lag, 2] += size
    late = units(train + 11)
    found = curation.align_to_peaks(on_four_channels(traces), late, SortingParameters(peak_sign=peak_sign))
    np.testing.assert_array_equal(found.sample_index, train + at)


def test_faint_units_must_be_more_distinct_than_others():
    properties = {
        "template_norm": np.array([20.0, 20.0, 9.0, 9.0, 9.0]),
        "confidence": np.array([0.5, 0.6, 0.6, 0.9, 0.9]),
        "refractory_violations": np.array([0.0, 0.8, 0.0, 0.0, 0.8]),
    }
    np.testing.assert_array_equal(curation.are_sure(properties, 0.55), [False, True, False, True, False])
