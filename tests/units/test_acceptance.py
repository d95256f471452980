"""What is no neuron, and what is distinct enough to be given to a user."""

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.units.acceptance import are_alike, find_noise, is_isolated, why_noise
from tests.known import DURATION, TEMPLATE, on_four_channels, poisson, split_half, units

GOOD = dict(
    n_spikes=500,
    duration_s=100.0,
    norm=20.0,
    violation_ratio=0.1,
    alike=True,
    min_firing_rate=0.1,
    min_norm=8.0,
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        (dict(n_spikes=20, norm=13.0, duration_s=10.0), None),
        (dict(n_spikes=19, norm=13.0, duration_s=10.0), "too few spikes"),
        (dict(n_spikes=99, norm=13.0, duration_s=1000.0), "too few spikes"),  # under 0.1 Hz
        (dict(n_spikes=100, norm=13.0, duration_s=1000.0), None),
        # what is larger needs fewer, down to five
        (dict(n_spikes=5, norm=26.1, duration_s=10.0), None),
        (dict(n_spikes=5, norm=25.9, duration_s=10.0), "too few spikes"),
        (dict(n_spikes=4, norm=200.0, duration_s=10.0), "too few spikes"),
        (dict(n_spikes=25, norm=26.1, duration_s=1000.0), None),
        (dict(norm=7.9), "template too small"),
        (dict(norm=8.0), None),
        (dict(norm=12.9, n_spikes=149), "small template and few spikes"),
        (dict(norm=12.9, n_spikes=150), None),
        (dict(norm=13.0, n_spikes=149), None),
        (dict(violation_ratio=0.91), "no refractory period"),
        (dict(violation_ratio=0.89), None),
        (dict(alike=False), "unlike one another"),
    ],
)
def test_a_unit_is_noise_for_a_reason(change, reason):
    found = why_noise(**GOOD | change)
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize(
    ("norm", "nn_hit_rate", "violation_ratio", "isolated"),
    [
        (20.0, 0.54, 0.0, False),
        (20.0, 0.55, 0.8, True),
        (10.0, 0.60, 0.8, True),  # no longer faint
        (9.9, 0.60, 0.0, False),
        (9.9, 0.84, 0.0, False),
        (9.9, 0.85, 0.5, True),
        (9.9, 0.95, 0.6, False),
    ],
)
def test_faint_units_must_be_more_distinct_than_others(norm, nn_hit_rate, violation_ratio, isolated):
    assert isolation_of(norm, nn_hit_rate, violation_ratio, 0.0) == isolated


def isolation_of(norm, nn_hit_rate, violation_ratio, n_expected):
    known = (np.array([value]) for value in (norm, nn_hit_rate, violation_ratio, n_expected))
    return bool(is_isolated(*known, 0.55)[0])


@pytest.mark.parametrize(
    ("norm", "violation_ratio", "n_expected", "isolated"),
    [(14.0, 0.03, 29.0, True), (9.0, 0.03, 29.0, True), (14.0, 0.2, 29.0, False), (14.0, 0.0, 9.0, False)],
)
def test_who_fires_often_and_keeps_a_refractory_period_is_a_neuron(norm, violation_ratio, n_expected, isolated):
    assert isolation_of(norm, 0.3, violation_ratio, n_expected) == isolated


def test_of_a_neuron_a_mixture_and_a_faint_unit_only_the_neuron_is_kept():
    neuron = poisson(30, 0, refractory_ms=3.0)
    train = poisson(30, 1, refractory_ms=3.0)
    mixture = np.sort(np.concatenate([train, train[::3] + 45]))  # a third of it again, 1.5 ms later
    faint = poisson(30, 9, refractory_ms=3.0)
    array = np.zeros((3, 2, 60, 4))
    array[0, :, :, 0], array[1, :, :, 1], array[2, :, :, 2] = 30 * TEMPLATE[0], 30 * TEMPLATE[0], 3 * TEMPLATE[0]
    traces, spikes = on_four_channels(np.zeros((DURATION, 4))), units(neuron, mixture, faint)
    reasons = find_noise(traces, spikes, split_half(array), SortingParameters())
    assert reasons == [None, "no refractory period", "template too small"]


@pytest.mark.parametrize(("spread", "alike"), [(0.1, True), (0.8, False)])
def test_few_spikes_are_a_unit_if_they_are_alike(spread, alike):
    rng, train = np.random.default_rng(0), np.arange(500, 60_000, 2000)
    array = rng.normal(size=(60_000, 4))
    for time in train:
        array[time - 24 : time - 24 + 60, 1] += 40 * rng.normal(1, spread) * TEMPLATE[0]
    assert are_alike(on_four_channels(array), train) == alike


def test_one_spike_is_like_no_other():
    assert not are_alike(on_four_channels(np.zeros((60_000, 4))), np.array([30_000]))
