"""What is said of each unit, on spikes of known origin."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.units import properties
from tests.known import on_four_channels, units

MAIN = np.array([1, 1])


@pytest.fixture
def spikes():
    """Two units in turn on one channel; features tell the first from all others, the second's are anything."""
    rng = np.random.default_rng(0)
    times = np.arange(200) * 1000 + 500
    labels = np.arange(200) % 2
    array = 0.1 * rng.normal(size=(201_000, 4))
    array[times, 1] -= 10.0
    others = np.arange(200) * 1000 + 800  # of no unit
    features = rng.normal(size=(400, 8))
    features[:200][labels == 0] = [5.0] * 8 + 0.1 * rng.normal(size=(100, 8))
    clusters = replace(Spikes.at(np.concatenate([times, others]), 1), features=features.astype("float32"))
    traces = replace(on_four_channels(array), noise_levels=np.full(4, 0.1))
    return traces, units(times[labels == 0], times[labels == 1]), clusters


def test_the_hit_rate_is_the_share_of_own_neighbours(spikes):
    traces, found, clusters = spikes
    isolated, mixed = properties.nn_hit_rates(traces, found, MAIN, clusters)
    assert isolated == 1.0
    assert mixed == pytest.approx(1 / 3, abs=0.1)  # 100 of its own among 300


def test_the_hit_rate_is_the_same_where_spikes_were_moved_from_their_peaks(spikes):
    traces, found, clusters = spikes
    rates, expected = (properties.nn_hit_rates(traces, u, MAIN, clusters) for u in (found.moved(12), found))
    np.testing.assert_array_equal(rates, expected)


def test_properties_are_those_of_the_spikes(spikes):
    traces, found, clusters = spikes
    measured = properties.measure(traces, found, clusters)
    np.testing.assert_array_equal(measured["n_spikes"], [100, 100])
    np.testing.assert_array_equal(measured["main_channel_id"], traces.recording.channel_ids[[1, 1]])
    np.testing.assert_allclose(measured["snr"], 100, rtol=0.05)
    np.testing.assert_allclose(measured["template_norm"], 10, rtol=0.05)
    np.testing.assert_allclose(measured["y"], 20, atol=1)
    np.testing.assert_allclose(measured["firing_rate"], 100 / 6.7, rtol=0.01)


def test_only_isolated_units_are_kept_with_their_properties(spikes, caplog):
    traces, found, clusters = spikes
    measured = properties.measure(traces, found, clusters)
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        kept, left = properties.keep_isolated(traces, found, measured, min_nn_hit_rate=0.6)
    assert "1 units are left out" in caplog.text
    assert kept.n_units == 1 and {len(values) for values in left.values()} == {1}
    assert kept.sample_index.tolist() == found.trains()[0].tolist()
    assert left["nn_hit_rate"].tolist() == [1.0]


def test_where_no_unit_is_isolated_it_is_said(spikes):
    traces, found, clusters = spikes
    measured = properties.measure(traces, found, clusters) | {"nn_hit_rate": np.array([0.1, 0.2])}
    with pytest.raises(NothingFound, match="distinct"):
        properties.keep_isolated(traces, found, measured, min_nn_hit_rate=0.45)
