"""Units that drift took apart, and units that it did not."""

import numpy as np
import pytest

from huidurep_sorter.spikes.spike_trains import count_presence, presence_overlap
from huidurep_sorter.templates.split_half import differences, estimate_split_half
from huidurep_sorter.units.temporal_splits import (
    RULES,
    group_temporal_splits,
    is_temporal_split,
    merge_temporal_splits,
)
from tests.known import DURATION, FS, TEMPLATE, on_four_channels, poisson, split_half, templates_at, units

REFRACTORY_MS = 3.0


@pytest.mark.parametrize(
    ("difference", "at_handover", "overlap", "size_ratio", "is_split"),
    [
        (0.79, 0.44, 0.89, 0.1, True),  # alike where one hands over to the other: the rest does not matter
        (0.79, 0.46, 0.10, 1.0, False),
        (0.54, np.inf, 0.74, 0.71, True),  # it jumped
        (0.56, np.inf, 0.74, 0.71, False),
        (0.54, np.inf, 0.76, 0.71, False),
        (0.54, np.inf, 0.74, 0.69, False),
    ],
)
def test_two_units_are_one_neuron_at_two_times(difference, at_handover, overlap, size_ratio, is_split):
    assert is_temporal_split(difference, at_handover, overlap, size_ratio) is is_split


@pytest.fixture
def traces():
    return on_four_channels(np.zeros((DURATION, 4)))


def in_turns(n_turns, n_parts=2):
    """A neuron of 20 Hz, cut into units that take turns."""
    train = poisson(20, 0, refractory_ms=REFRACTORY_MS)
    turn = train * n_turns // DURATION % n_parts
    return units(*(train[turn == part] for part in range(n_parts)))


def groups_of(traces, spikes, templates):
    groups, _ = group_temporal_splits(traces, spikes, templates)
    return len(np.unique(groups))


def test_units_that_take_turns_are_grouped(traces):
    assert groups_of(traces, in_turns(4), templates_at(0.0, 0.35)) == 1


def test_a_chain_is_grouped_though_its_ends_differ(traces):
    templates = templates_at(0.0, 0.35, 0.62)
    assert differences(templates, 0)[0][2] > RULES.max_difference
    assert groups_of(traces, in_turns(3, n_parts=3), templates) == 1


def test_neurons_of_one_time_or_of_other_templates_stay_apart(traces):
    at_once = units(poisson(20, 0, REFRACTORY_MS), poisson(20, 1, REFRACTORY_MS))
    assert groups_of(traces, at_once, templates_at(0.0, 0.35)) == 2
    assert groups_of(traces, in_turns(4), templates_at(0.0, 0.9)) == 2


def test_units_that_fire_within_the_refractory_period_stay_apart(traces):
    first, second = (poisson(20, seed, REFRACTORY_MS) for seed in (0, 1))
    half = DURATION // 2
    spikes = units(np.concatenate([first[first < half], first[first > half][::3]]), second[second > half])
    overlap = presence_overlap(count_presence(spikes, FS, DURATION))
    assert overlap[0, 1] < RULES.max_overlap
    assert groups_of(traces, spikes, templates_at(0.0, 0.35)) == 2


def test_two_neurons_of_one_time_are_not_grouped_by_way_of_a_third(traces):
    first, second, third = (poisson(20, seed, REFRACTORY_MS) for seed in (0, 1, 2))
    half = DURATION // 2
    spikes = units(first[first < half], third[third > half], second[second < half])
    assert groups_of(traces, spikes, templates_at(0.0, 0.35, 0.62)) == 2


def seen_at(train, places):
    """Traces of a neuron that is seen at `places[i]` (as in `templates_at`) when it fires its i-th spike."""
    traces = np.random.default_rng(0).normal(size=(DURATION, 4))
    for time, place in zip(train, places, strict=True):
        window = slice(time - 21, time + 39)  # as the windows of templates at this sampling frequency
        traces[window, 0] += 30 * (1 - place) * TEMPLATE[0]
        traces[window, 1] += 30 * place * TEMPLATE[0]
    return on_four_channels(traces)


@pytest.mark.parametrize(("is_steady", "n_neurons"), [(True, 1), (False, 2)])
def test_units_as_unlike_as_two_neurons_are_grouped_if_they_are_alike_at_the_handover(is_steady, n_neurons):
    train = poisson(20, 0, REFRACTORY_MS)[1:-1]
    is_first = train < DURATION // 2
    places = 0.79 * train / DURATION if is_steady else np.where(is_first, 0.19, 0.58)
    traces, spikes = seen_at(train, places), units(train[is_first], train[~is_first])
    templates = estimate_split_half(traces, spikes)
    difference = differences(templates, 0)[0][1]
    assert RULES.max_difference_of_jump < difference < RULES.max_difference
    assert groups_of(traces, spikes, templates) == n_neurons


def test_neurons_of_other_sizes_that_take_turns_stay_apart(traces):
    array = np.zeros((2, 2, 60, 4))
    array[0, :, :, 0], array[1, :, :, 0] = TEMPLATE[0], 0.5 * TEMPLATE[0]
    templates = split_half(10 * array)
    assert differences(templates, 0)[0][1] < RULES.max_difference_of_jump
    assert groups_of(traces, in_turns(4), templates) == 2


def test_the_spikes_of_temporal_splits_are_aligned(traces):
    array = np.zeros((2, 2, 60, 4))
    array[0, :, :, 0], array[1, :, :, 0], array[1, :, :, 1] = TEMPLATE[0], TEMPLATE[1], 0.3 * TEMPLATE[1]
    templates = split_half(10 * array)
    groups, shifts = group_temporal_splits(traces, in_turns(4), templates)
    assert groups[0] == groups[1]
    assert shifts[1] - shifts[0] == 3


def test_merged_temporal_splits_are_one_unit_with_all_spikes(traces):
    spikes = in_turns(4)
    merged = merge_temporal_splits(traces, spikes, templates_at(0.0, 0.35))
    assert merged.n_units == 1 and len(merged) == len(spikes)
