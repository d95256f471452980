"""Templates of few spikes that draw others."""

from dataclasses import replace

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates import refinement
from huidurep_sorter.templates.estimation import clean, estimate_templates
from huidurep_sorter.templates.matching import as_matched
from tests.known import noise_with_spikes, on_four_channels

PARAMETERS = SortingParameters(min_cluster_size=8)


@pytest.fixture(scope="module")
def few():
    """Traces of 200 small spikes, 8 of them detected, and the template that they make."""
    traces, times = noise_with_spikes(size=4.0)
    spikes = Spikes.at(times[::25], 2, 0)
    found = estimate_templates(traces, spikes, PARAMETERS)
    return traces, clean(traces, found, [len(spikes)], PARAMETERS), spikes


def distance_from_truth(found):
    offset = np.arange(found.num_samples) - found.nbefore
    truth = np.where(np.abs(offset) <= 10, -4.0 * np.exp(-((offset / 4.0) ** 2)), 0.0)
    return np.linalg.norm(found.get_dense_templates()[0, :, 2] - truth)


def test_a_noisy_template_draws_spikes_and_is_nearer_to_the_truth(few):
    traces, noisy, spikes = few
    refined = refinement.refine_templates(traces, noisy, spikes, PARAMETERS)
    assert distance_from_truth(refined) < 0.75 * distance_from_truth(noisy)


def test_a_clean_template_is_left_as_it_is(few):
    traces, found, _ = few
    assert refinement.n_spikes_missing(traces, found, np.array([100_000])) == 0
    assert refinement.n_spikes_missing(traces, found, np.array([8])) > 8


def test_no_more_is_drawn_than_is_missing(few):
    traces, found, _ = few
    matched = as_matched(refinement.match_part(traces, found, PARAMETERS), found)
    assert len(matched) > 150
    drawn = refinement.draw_matched_spikes(traces, matched, np.array([30]), seed=0)
    assert len(drawn) == 30 and set(drawn.label) == {0}
    assert set(drawn.sample_index) <= set(matched.sample_index)


@pytest.mark.parametrize("n", [46_000, 200_000])
def test_stretches_are_spread_over_the_recording_and_do_not_overlap(n):
    fs = 1000.0
    stretches = refinement.choose_stretches(on_four_channels(np.zeros((n, 4)), fs))
    assert np.diff(stretches, axis=1).sum() == refinement.RULES.part_s * fs
    assert stretches[0, 0] == 0 and stretches[-1, 1] == n
    assert (stretches[1:, 0] >= stretches[:-1, 1]).all()


def test_a_short_recording_is_one_stretch():
    stretches = refinement.choose_stretches(on_four_channels(np.zeros((3_000, 4)), 1000.0))
    np.testing.assert_array_equal(stretches, [[0, 3000]])


def test_only_seconds_that_are_learned_from_are_chosen():
    traces = on_four_channels(np.zeros((40_000_000, 4)), 1000.0)  # 11 hours
    stretches = refinement.choose_stretches(traces)
    assert len(stretches) == 45 and traces.are_learned_from(stretches[:, 0]).all()


def test_spikes_of_a_part_lie_where_they_are_in_the_recording(few, monkeypatch):
    traces, found, _ = few
    whole = refinement.match_part(traces, found, PARAMETERS)
    monkeypatch.setattr(refinement, "RULES", replace(refinement.RULES, part_s=6.0))
    part = refinement.match_part(traces, found, PARAMETERS)
    assert 0 < len(part) < 0.5 * len(whole)
    assert np.isin(part["sample_index"], whole["sample_index"]).mean() > 0.95
