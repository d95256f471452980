"""Groups of spikes, what is known of each, on traces of known neurons."""

import numpy as np
import pytest

from huidurep_sorter.encoder.small_networks import load_networks
from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.templates.evidence import EVIDENCE
from huidurep_sorter.templates.groups import describe_groups, join_views, spread
from tests.known import two_neurons, units


@pytest.fixture(scope="module")
def neurons():
    return two_neurons(10, ([3, 12, 5, 1], [1, 6, 12, 4]))


@pytest.fixture(scope="module", params=["huidurep", "svd"])
def described(neurons, request):
    traces, first, second = neurons
    parameters = SortingParameters(features=request.param, torch_device="cpu")
    return describe_groups(traces, units(first[::2], first[1::2] + 3, second), parameters), request.param


def test_parts_of_a_neuron_are_probably_one_and_neurons_are_not(described):
    (groups, comparable), features = described
    assert comparable[0, 1]
    values, lag = groups.compare_with(0, np.array([1, 2]))
    probability = load_networks("same_neuron", features).probability(values)[:, 0]
    assert probability[0] > 0.9 and probability[1] < 0.1
    assert lag[0] == -3


def test_it_does_not_matter_which_comes_first(described):
    (groups, _), _ = described
    for a, b in ((0, 1), (0, 2), (1, 2)):
        there, lag = groups.compare_with(a, np.array([b]))
        back, lag_back = groups.compare_with(b, np.array([a]))
        np.testing.assert_allclose(there, back, rtol=1e-6, atol=1e-6)
        assert lag[0] == -lag_back[0]


def test_on_few_channels_svd_stands_beside_the_embedding(described):
    (groups, _), features = described
    n_svd = 5 * 4  # components of each channel
    shapes = {own.shape[1] for views in groups.views for own in views.values()}
    assert shapes == {n_svd if features == "svd" else 32 + n_svd}


def test_what_is_united_is_as_one_that_was_never_apart(neurons):
    traces, first, second = neurons
    parameters = SortingParameters(torch_device="cpu")
    parts, _ = describe_groups(traces, units(first[::2], first[1::2], second), parameters)
    whole, _ = describe_groups(traces, units(first, second), parameters)
    parts.unite(0, 1, 0)
    assert parts.trains[0].tolist() == whole.trains[0].tolist()
    assert parts.templates.counts[0] == whole.templates.counts[0]
    found, expected = parts.compare_with(0, np.array([2]))[0], whole.compare_with(0, np.array([1]))[0]
    of_trains = [EVIDENCE.index(name) for name in ("log_pair_ratio", "joint_violations", "presence_overlap")]
    np.testing.assert_allclose(found[0, of_trains], expected[0, of_trains], atol=1e-9)
    assert found[0, 0] == pytest.approx(expected[0, 0], abs=0.03)


def test_views_are_joined_in_the_proportion_of_their_spikes():
    joined = join_views(np.zeros((32, 2)), np.ones((32, 2)), np.array([300, 100]))
    assert joined.shape == (32, 2) and joined.sum() == 16
    few = join_views(np.zeros((32, 2)), np.ones((4, 2)), np.array([10, 1000]))
    assert few.shape == (32, 2) and few.sum() == 8
    assert np.ptp(np.flatnonzero(joined[:, 0])) > 10  # not all at one end: halves of a group are of both


def test_spread_takes_both_ends():
    assert spread(np.arange(10), 3).tolist() == [0, 4, 9]
    assert spread(np.arange(3), 0).tolist() == []


def test_groups_of_one_spike_are_compared(neurons):
    traces, first, second = neurons
    groups, comparable = describe_groups(traces, units(first, second, first[:1] + 1), SortingParameters())
    assert np.isfinite(groups.compare_with(0, np.array([1, 2]))[0]).all() if comparable[0, 2] else True
