"""Units that drift took apart, and units that it did not."""

import numpy as np
import pytest

from huidurep_sorter.templates import agglomeration as merging
from huidurep_sorter.units import temporal_splits as fragments
from tests.trains import DURATION, TEMPLATE, on_four_channels, poisson, templates_at, units

REFRACTORY_MS = 3.0


@pytest.fixture
def recording():
    return on_four_channels(np.zeros((DURATION, 4)))


def in_turns(n_turns, n_fragments=2):
    """A neuron of 20 Hz, cut into fragments that take turns."""
    train = poisson(20, 0, refractory_ms=REFRACTORY_MS)
    turn = train * n_turns // DURATION % n_fragments
    return units(*(train[turn == fragment] for fragment in range(n_fragments)))


def groups_of(recording, spikes, halves):
    groups, _ = fragments.join(recording, spikes, halves)
    return len(np.unique(groups))


def test_fragments_that_take_turns_are_joined(recording):
    assert groups_of(recording, in_turns(4), templates_at(0.0, 0.35)) == 1


def test_a_chain_is_joined_though_its_ends_differ(recording):
    halves = templates_at(0.0, 0.35, 0.62)
    assert merging.differences(halves, 0)[0][2] > fragments.MAX_DIFFERENCE
    assert groups_of(recording, in_turns(3, n_fragments=3), halves) == 1


def test_neurons_of_one_time_or_of_other_templates_stay_apart(recording):
    at_once = units(poisson(20, 0, REFRACTORY_MS), poisson(20, 1, REFRACTORY_MS))
    assert groups_of(recording, at_once, templates_at(0.0, 0.35)) == 2
    assert groups_of(recording, in_turns(4), templates_at(0.0, 0.9)) == 2


def test_units_that_fire_within_the_refractory_period_stay_apart(recording):
    first, second = (poisson(20, seed, REFRACTORY_MS) for seed in (0, 1))
    half = DURATION // 2
    spikes = units(np.concatenate([first[first < half], first[first > half][::3]]), second[second > half])
    overlap = fragments.presence_overlap(fragments.count_presence(recording, spikes))
    assert overlap[0, 1] < fragments.MAX_OVERLAP
    assert groups_of(recording, spikes, templates_at(0.0, 0.35)) == 2


def test_two_neurons_of_one_time_are_not_joined_by_way_of_a_third(recording):
    first, second, third = (poisson(20, seed, REFRACTORY_MS) for seed in (0, 1, 2))
    half = DURATION // 2
    spikes = units(first[first < half], third[third > half], second[second < half])
    assert groups_of(recording, spikes, templates_at(0.0, 0.35, 0.62)) == 2


def seen_at(train, places):
    """Traces of a neuron that is seen at `places[i]` (as in `templates_at`) when it fires its i-th spike."""
    traces = np.random.default_rng(0).normal(size=(DURATION, 4))
    for time, place in zip(train, places, strict=True):
        window = slice(time - 21, time + 39)  # as the windows of templates at this sampling frequency
        traces[window, 0] += 30 * (1 - place) * TEMPLATE[0]
        traces[window, 1] += 30 * place * TEMPLATE[0]
    return on_four_channels(traces)


@pytest.mark.parametrize(("is_steady", "n_neurons"), [(True, 1), (False, 2)])
def test_fragments_as_unlike_as_two_neurons_are_joined_if_they_are_alike_at_the_handover(is_steady, n_neurons):
    train = poisson(20, 0, REFRACTORY_MS)[1:-1]
    is_first = train < DURATION // 2
    places = 0.79 * train / DURATION if is_steady else np.where(is_first, 0.19, 0.58)
    recording, spikes = seen_at(train, places), units(train[is_first], train[~is_first])
    halves = merging.estimate_halves(recording, spikes.sample_index, spikes.label)
    difference = merging.differences(halves, 0)[0][1]
    assert fragments.MAX_DIFFERENCE_OF_JUMP < difference < fragments.MAX_DIFFERENCE
    assert groups_of(recording, spikes, halves) == n_neurons


def test_neurons_of_other_sizes_that_take_turns_stay_apart(recording):
    array = np.zeros((2, 2, 60, 4))
    array[0, :, :, 0], array[1, :, :, 0] = TEMPLATE[0], 0.5 * TEMPLATE[0]
    halves = merging.as_halves(10 * array, [100, 100], max_lag=10)
    assert merging.differences(halves, 0)[0][1] < fragments.MAX_DIFFERENCE_OF_JUMP
    assert groups_of(recording, in_turns(4), halves) == 2


def test_the_spikes_of_fragments_are_aligned(recording):
    array = np.zeros((2, 2, 60, 4))
    array[0, :, :, 0], array[1, :, :, 0], array[1, :, :, 1] = TEMPLATE[0], TEMPLATE[1], 0.3 * TEMPLATE[1]
    halves = merging.as_halves(10 * array, [100, 100], max_lag=10)
    groups, shifts = fragments.join(recording, in_turns(4), halves)
    assert groups[0] == groups[1]
    assert shifts[1] - shifts[0] == 3
