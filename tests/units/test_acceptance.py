"""Which units are kept: as the network and the limits of a user say."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.units.acceptance import judge, keep_neurons, why_discarded
from huidurep_sorter.units.properties import measure
from tests.units.known_units import neuron_and_mixture

PARAMETERS = SortingParameters()


@pytest.fixture(scope="module")
def measured():
    return measure(*neuron_and_mixture())


@pytest.mark.parametrize("features", ["huidurep", "svd"])
def test_a_neuron_is_more_probable_than_a_mixture(measured, features):
    neuron, mixture = judge(measured, SortingParameters(features=features)).probability
    assert neuron.min() > 0.9 and mixture[1] < 0.5 * neuron[1]


@pytest.mark.parametrize("features", ["huidurep", "svd"])
def test_a_neuron_that_fires_only_for_a_while_is_probable_too(features):
    late = measure(*neuron_and_mixture(from_share=0.8))
    assert judge(late, SortingParameters(features=features)).probability[0].min() > 0.7


@pytest.mark.parametrize(
    ("change", "values", "reason"),
    [
        ({}, (0.4, 0.1, 8.0), None),
        ({}, (0.39, 5.0, 30.0), "probably no neuron"),
        (dict(min_unit_probability=0.0), (0.0, 5.0, 30.0), None),
        ({}, (1.0, 5.0, 7.9), "template too small"),
        (dict(min_template_norm=0.0), (1.0, 5.0, 7.9), None),
        (dict(min_firing_rate=1.0), (1.0, 0.9, 30.0), "fires too rarely"),
    ],
)
def test_a_unit_is_left_out_for_a_reason(change, values, reason):
    assert why_discarded(*values, SortingParameters(**change)) == reason


def test_only_probable_units_are_kept_with_what_is_known_of_them(measured, caplog):
    measured = replace(measured, probability=np.array([[0.9, 0.8], [0.2, 0.1]]))
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        kept, discarded = keep_neurons(measured, PARAMETERS)
    assert "1 units are left out: probably no neuron" in caplog.text
    assert discarded["num_spikes"].tolist() == [measured.units.counts()[1]]
    assert {len(values) for values in kept.properties().values()} == {1}
    assert kept.units.sample_index.tolist() == measured.units.trains()[0].tolist()
    np.testing.assert_array_equal(kept.fits.scale, measured.fits.scale[measured.units.label == 0])
    assert set(kept.owner) <= {-1, 0}
    assert kept.properties()["huidurep_single_unit_probability"].tolist() == [0.8]


def test_where_no_unit_is_probable_it_is_said(measured):
    with pytest.raises(NothingFound, match="probably a neuron"):
        keep_neurons(replace(measured, probability=np.zeros((2, 2))), PARAMETERS)
