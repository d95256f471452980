"""Whether two units are one neuron."""

import numpy as np
import pytest

from huidurep_sorter.spikes.spike_trains import pair_ratio
from huidurep_sorter.templates.split_half import differences
from huidurep_sorter.units.merging import RULES, find_mergeable, is_one_neuron, merge_units, regroup
from tests.known import DURATION, FS, on_four_channels, poisson, templates_at, units

REFRACTORY_MS = 3.0


@pytest.mark.parametrize(
    ("difference", "pair_ratio", "expected_pairs", "smaller", "larger", "is_one"),
    [
        # templates hardly differ: one, unless the trains clearly ignore each other
        (0.29, 0.59, 100.0, 500, 500, True),
        (0.29, 0.61, 100.0, 500, 500, False),
        (0.29, 1.00, 1.9, 500, 500, True),  # too few pairs to say so
        (0.29, 1.00, 2.0, 500, 500, False),
        # templates differ more: only if a refractory period shows
        (0.31, 0.34, 100.0, 500, 500, True),
        (0.31, 0.36, 100.0, 500, 500, False),
        (0.49, 0.00, 6.0, 500, 500, True),
        (0.39, 1.00, 1.9, 500, 500, True),  # too few pairs, and alike enough
        (0.39, 0.59, 5.9, 500, 500, True),
        (0.39, 0.60, 5.9, 500, 500, False),  # three or four, and as many as chance explains
        # too few pairs to show it: a hint, or a minor unit
        (0.49, 0.00, 1.0, 500, 500, True),
        (0.49, 0.00, 0.9, 500, 500, False),
        (0.49, 0.20, 5.9, 500, 500, False),
        (0.49, 1.00, 1.9, 99, 500, True),
        (0.49, 1.00, 5.9, 99, 500, False),
        (0.49, 1.00, 5.9, 100, 500, False),
        # a minor unit does not count against pairs that are there
        (0.49, 1.00, 6.0, 99, 500, False),
        # templates of two neurons
        (0.50, 0.00, 100.0, 500, 500, False),
        (0.50, 0.00, 0.0, 1, 500, False),
    ],
)
def test_two_units_are_one_neuron(difference, pair_ratio, expected_pairs, smaller, larger, is_one):
    assert is_one_neuron(difference, pair_ratio, expected_pairs, smaller, larger) is is_one


def are_merged(spikes, templates):
    return find_mergeable(on_four_channels(np.zeros((DURATION, 4))), spikes, templates)[0, 1]


def test_parts_of_a_slow_neuron_are_merged_by_the_few_pairs_that_they_lack():
    train = poisson(7, 0, REFRACTORY_MS)
    parts, templates = units(train[::2], train[1::2]), templates_at(0.0, 0.3)
    ratio, expected = pair_ratio(train[::2], train[1::2], FS, DURATION)
    assert ratio == 0 and 1 < expected < RULES.min_expected_pairs
    assert 0.35 < differences(templates, 0)[0][1] < 0.5
    assert are_merged(parts, templates)


def test_two_slow_neurons_of_like_templates_stay_apart():
    first, second = (poisson(4.5, seed, REFRACTORY_MS) for seed in (0, 1))
    ratio, expected = pair_ratio(first, second, FS, DURATION)
    assert ratio > 0.35 and 1 < expected < RULES.min_expected_pairs
    assert not are_merged(units(first, second), templates_at(0.0, 0.3))


def test_where_no_pair_is_expected_templates_decide():
    first, second = (poisson(1, seed, REFRACTORY_MS) for seed in (0, 1))
    assert pair_ratio(first, second, FS, DURATION)[1] < RULES.min_expected_pairs_of_hint
    assert not are_merged(units(first, second), templates_at(0.0, 0.3))
    assert are_merged(units(first, second), templates_at(0.0, 0.15))


def seen(*trains_and_channels):
    """Traces of neurons, each on a channel of its own, and their spikes as units."""
    array = np.random.default_rng(0).normal(size=(DURATION, 4))
    wave = 12 * np.exp(-((np.arange(-10, 11) / 4.0) ** 2))
    trains = [train[(train > 100) & (train < DURATION - 100)] for train, _ in trains_and_channels]
    for train, (_, channel) in zip(trains, trains_and_channels, strict=True):
        for time in train:
            array[time - 10 : time + 11, channel] -= wave
    return on_four_channels(array), units(*trains)


def test_parts_of_one_neuron_become_one_unit_and_another_neuron_stays():
    train, other = poisson(20, 0, REFRACTORY_MS), poisson(20, 1, REFRACTORY_MS)
    traces, parts = seen((train[::2], 0), (train[1::2], 0), (other, 2))
    merged = merge_units(traces, parts)
    assert merged.n_units == 2
    assert sorted(merged.counts()) == pytest.approx(sorted([len(train), len(other)]), abs=3)


def test_regrouping_moves_numbers_censors_and_keeps_within_the_recording():
    traces = on_four_channels(np.zeros((1000, 4)))
    spikes = units(np.array([10, 500]), np.array([503, 900]), np.array([700, 998]))
    found = regroup(traces, spikes, np.array([0, 0, 2]), np.array([0, 2, 5]))
    assert found.label.tolist() == [0, 0, 1, 0]  # of 500 and 505 the first stays; 1003 is beyond the end
    assert found.sample_index.tolist() == [10, 500, 705, 902]
    assert found.shift.tolist() == [0, 0, 5, 2]
