"""What is said of each unit, on spikes of known origin."""

from dataclasses import replace

import numpy as np
import pytest
from spikeinterface.core import create_sorting_analyzer
from spikeinterface.metrics.quality import get_quality_metric_list

from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.units import properties
from tests.known import on_four_channels, units

MAIN = np.array([1, 1])


def known(traces, found, clusters):
    """Measured units, as if all were surely neurons."""
    return replace(properties.measure(traces, found, clusters), probability=np.ones((found.n_units, 2)))


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
    isolated, mixed = properties.nn_hit_rates(properties.find_owners(traces, found, MAIN, clusters), 2, clusters)
    assert isolated == 1.0
    assert mixed == pytest.approx(1 / 3, abs=0.1)  # 100 of its own among 300


def test_peaks_have_the_same_owner_where_spikes_were_moved_from_their_peaks(spikes):
    traces, found, clusters = spikes
    owners, expected = (properties.find_owners(traces, u, MAIN, clusters) for u in (found.moved(12), found))
    np.testing.assert_array_equal(owners, expected)
    assert set(owners) == {-1, 0, 1}


def test_properties_are_those_of_the_spikes(spikes):
    traces, found, clusters = spikes
    measured = known(traces, found, clusters).properties()
    np.testing.assert_array_equal(measured["huidurep_num_spikes"], [100, 100])
    np.testing.assert_array_equal(measured["main_channel_id"], traces.recording.channel_ids[[1, 1]])
    np.testing.assert_allclose(measured["huidurep_snr"], 100, rtol=0.05)
    np.testing.assert_allclose(measured["huidurep_template_norm"], 10, rtol=0.05)
    np.testing.assert_allclose(measured["huidurep_y"], 20, atol=1)
    np.testing.assert_allclose(measured["huidurep_firing_rate"], 100 / 6.7, rtol=0.01)


def test_violations_are_those_of_spikeinterface(spikes):
    """By its function, told that no interval is under 1 ms."""
    traces, _, clusters = spikes
    steps = np.random.default_rng(3).exponential(2000, size=2000).astype("int64") + 31
    train = np.cumsum(steps) * 200_000 // steps.sum()
    train = train[np.r_[True, np.diff(train) > 32]]
    found = units(train, train + 100)
    measured = known(traces, found, clusters).properties()["huidurep_isi_violations_ratio"]
    sorting = found.to_sorting(traces.sampling_frequency)
    analyzer = create_sorting_analyzer(sorting, traces.recording, sparse=False)
    options = dict(isi_violation=dict(isi_threshold_ms=1.5, min_isi_ms=1.0))
    analyzer.compute("quality_metrics", metric_names=["isi_violation"], metric_params=options)
    theirs = analyzer.get_extension("quality_metrics").get_data()["isi_violations_ratio"]
    assert (theirs > 0).all()
    np.testing.assert_allclose(measured, theirs.to_numpy(dtype="float64"), rtol=1e-6)


def test_no_property_hides_a_metric_of_spikeinterface(spikes):
    theirs = set(get_quality_metric_list()) | {"x", "y", "z", "num_spikes", "isi_violations_ratio"}
    assert theirs.isdisjoint(properties.no_properties(spikes[0].recording))
