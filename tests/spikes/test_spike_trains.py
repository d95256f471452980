"""Pairs of spikes, violations and presence, on spike trains of known origin."""

import numpy as np
import pytest

from huidurep_sorter.spikes import spike_trains
from tests.known import DURATION, FS, poisson, units


def test_independent_trains_pair_as_often_as_chance():
    ratio, expected = spike_trains.pair_ratio(poisson(20, 0), poisson(20, 1), FS, DURATION)
    assert expected > 30
    assert ratio == pytest.approx(1, abs=0.3)


def test_two_halves_of_one_train_keep_its_refractory_period():
    train = poisson(40, 0, refractory_ms=3.0)
    ratio, _ = spike_trains.pair_ratio(train[::2], train[1::2], FS, DURATION)
    assert ratio == 0


def test_violations_tell_a_neuron_from_a_mixture():
    assert spike_trains.violation_ratio(poisson(20, 0, refractory_ms=3.0), FS, DURATION)[0] == 0
    assert spike_trains.violation_ratio(poisson(40, 0), FS, DURATION)[0] == pytest.approx(1, abs=0.25)


def test_censoring_leaves_one_spike_of_a_pair():
    kept = spike_trains.censor(units(np.array([1000, 1010, 9000, 9000 + int(0.002 * FS)])), FS)
    np.testing.assert_array_equal(kept.sample_index, [1000, 9000, 9060])


def test_lags_are_those_of_the_neighbours_in_time():
    lags = spike_trains.lags_to_nearest(np.array([5, 10, 30]), np.array([8, 20]))
    assert lags[0, 1] == 3 and lags[0, 0] < -(2**60)
    np.testing.assert_array_equal(lags[1], [-2, 10])
    assert lags[2, 0] == -10 and lags[2, 1] > 2**60


def test_presence_is_counted_in_stretches_of_10_s():
    spikes = units(np.array([0, 9_999, 10_000]), np.array([24_999]))
    np.testing.assert_array_equal(spike_trains.count_presence(spikes, 1000.0, 25_000), [[2, 1, 0], [0, 0, 1]])


def test_units_in_turns_do_not_overlap_and_stationary_ones_do():
    in_turns = spike_trains.presence_overlap(np.array([[9, 9, 0, 0], [0, 0, 5, 5]]))
    assert in_turns[0, 1] == 0
    assert spike_trains.presence_overlap(np.array([[3, 3, 3], [8, 8, 8]]))[0, 1] == pytest.approx(1)


def mixture(rate_hz, seed):
    """A train in which a third of the spikes is followed by another 1.5 ms later."""
    train = poisson(rate_hz, seed, refractory_ms=3.0)
    return np.sort(np.concatenate([train, train[::3] + 45]))


def test_a_mixture_violates_steadily_and_a_neuron_does_not():
    assert spike_trains.steady_violation_ratio(mixture(30, 0), FS, DURATION) > 1.5
    assert spike_trains.steady_violation_ratio(poisson(40, 1, refractory_ms=3.0), FS, DURATION) == 0
    assert spike_trains.steady_violation_ratio(poisson(60, 2), FS, DURATION) == pytest.approx(0.8, abs=0.3)


@pytest.mark.parametrize("n_moments", [1, 5])
def test_a_few_moments_do_not_decide_a_neurons_life(n_moments):
    neuron, rng = poisson(20, 0, refractory_ms=3.0), np.random.default_rng(1)
    moments = [start + np.arange(60) * 50 for start in rng.integers(0, DURATION - 5000, n_moments)]
    spoiled = np.sort(np.concatenate([neuron, *moments]))
    assert spike_trains.violation_ratio(spoiled, FS, DURATION)[0] > 0.9
    assert spike_trains.steady_violation_ratio(spoiled, FS, DURATION) == 0


def test_a_slow_unit_is_judged_by_all_of_its_spikes():
    """Few pairs are expected in any stretch; together they tell."""
    assert spike_trains.steady_violation_ratio(mixture(2, 0), FS, DURATION) > 1
    assert spike_trains.steady_violation_ratio(poisson(2, 1, refractory_ms=3.0), FS, DURATION) == 0
