"""What speaks for a unit being one neuron, on units of known origin."""

import numpy as np
import pytest

from huidurep_sorter.units.properties import measure
from huidurep_sorter.units.single_unit import EVIDENCE, describe_units, log_following
from tests.known import DURATION, poisson
from tests.units.known_units import neuron_and_mixture


@pytest.fixture(scope="module")
def described():
    traces, units, peaks = neuron_and_mixture()
    found = describe_units(measure(traces, units, peaks))
    assert found.shape == (2, len(EVIDENCE)) and np.isfinite(found).all()
    return {name: found[:, k] for k, name in enumerate(EVIDENCE)}, units


def test_trains_say_how_many_spikes_and_whether_they_avoid_one_another(described):
    values, units = described
    np.testing.assert_allclose(np.exp(values["log_n_spikes"]), units.counts())
    np.testing.assert_allclose(np.exp(values["log_firing_rate"]), units.counts() / 100.0)
    neuron, mixture = values["log_violations"]
    assert neuron < mixture - 1
    assert values["steady_violations"][0] == 0.0 < values["steady_violations"][1]


def test_templates_and_spikes_say_how_large_and_how_equal_they_are(described):
    values, _ = described
    neuron, mixture = values["log_norm"]
    assert neuron > mixture + 0.5
    assert values["log_n_channels"][0] < values["log_n_channels"][1]
    assert values["spread_of_scale"][0] < values["spread_of_scale"][1]
    assert values["nn_hit_rate"][0] > 0.95


def test_who_follows_another_unit_does_so_more_often_than_by_chance():
    large, other = poisson(10, 0, refractory_ms=5.0), poisson(10, 1)
    assert log_following(large + 60, large, 90, DURATION) > 3
    assert abs(log_following(other, large, 90, DURATION)) < 0.5
    assert log_following(large - 60, large, 90, DURATION) < 0.5  # before it, not after
