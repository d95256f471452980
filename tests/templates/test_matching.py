"""The search for spikes of known templates."""

import logging

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates import matching
from huidurep_sorter.templates.estimation import make_templates
from tests.known import noise_with_spikes


@pytest.fixture(scope="module")
def spiking():
    """Traces, times of spikes on channel 2, and their template."""
    traces, times = noise_with_spikes()
    templates, _ = make_templates(traces, Spikes.at(times, 2, 0), SortingParameters())
    return traces, times, templates


@pytest.mark.parametrize("method", matching.MATCHERS)
def test_every_engine_finds_the_spikes(spiking, method):
    traces, times, templates = spiking
    spikes = matching.match_templates(traces, templates, SortingParameters(matching_method=method))
    nearest = np.abs(spikes.sample_index[:, None] - times[None]).min(axis=0)
    assert (nearest <= 3).mean() > 0.95
    assert len(spikes) < 1.1 * len(times)
    assert set(spikes.label) == {0} and set(spikes.channel_index) == {2} and not spikes.shift.any()


def test_where_nothing_matches_it_is_said(spiking, monkeypatch):
    traces, _, templates = spiking
    none = np.zeros(0, dtype=[("sample_index", "i8"), ("cluster_index", "i8"), ("segment_index", "i8")])
    monkeypatch.setitem(matching.MATCHERS, "local", lambda *_: none)
    with pytest.raises(NothingFound, match="no spike matched"):
        matching.match_templates(traces, templates, SortingParameters())


def test_where_the_peeler_divides_by_zero_templates_are_matched_locally(spiking, monkeypatch, caplog):
    traces, times, templates = spiking

    def divide(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(matching, "find_spikes_from_templates", divide)
    with caplog.at_level(logging.INFO, logger="huidurep_sorter"):
        spikes = matching.match_templates(traces, templates, SortingParameters(matching_method="tdc-peeler"))
    assert "instead of 'tdc-peeler'" in caplog.text
    assert len(spikes) > 0.95 * len(times)
