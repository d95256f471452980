"""Templates that borrow spikes."""

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.templates import estimation as templates
from huidurep_sorter.templates import refinement
from tests.spikes.test_detection import noise_with_spikes


@pytest.fixture(scope="module")
def few():
    """A recording of 200 small spikes, 8 of them detected, and the template that they make."""
    recording, times = noise_with_spikes(size=4.0)
    peaks = np.zeros(8, dtype=[("sample_index", "i8"), ("channel_index", "i8"), ("segment_index", "i8")])
    peaks["sample_index"], peaks["channel_index"] = times[::25], 2
    labels = np.zeros(len(peaks), dtype="int64")
    found = templates.estimate_templates(recording, peaks, labels, SortingParameters())
    return recording, peaks, labels, templates.clean(found, [len(peaks)], np.ones(4), SortingParameters())


def distance_from_truth(found):
    offset = np.arange(found.num_samples) - found.nbefore
    truth = np.where(np.abs(offset) <= 10, -4.0 * np.exp(-((offset / 4.0) ** 2)), 0.0)
    return np.linalg.norm(found.get_dense_templates()[0, :, 2] - truth)


def test_a_noisy_template_borrows_spikes_and_is_nearer_to_the_truth(few):
    recording, peaks, labels, noisy = few
    refined = refinement.refine_templates(recording, noisy, peaks, labels, np.ones(4), SortingParameters())
    assert distance_from_truth(refined) < 0.75 * distance_from_truth(noisy)


def test_a_clean_template_is_left_as_it_is(few):
    recording, _, _, found = few
    assert refinement.spikes_wanted(found, np.array([100_000]), np.ones(4)) == 0
    assert refinement.spikes_wanted(found, np.array([8]), np.ones(4)) > 8


def test_no_more_is_borrowed_than_is_wanted(few):
    recording, _, _, found = few
    spikes = refinement.match_part(recording, found, np.ones(4), SortingParameters())
    assert len(spikes) > 150
    borrowed, owner = refinement.borrow(recording, spikes, np.array([30]), seed=0)
    assert len(borrowed) == 30 and set(owner) == {0}
    assert set(borrowed) <= set(spikes["sample_index"])


def test_slices_are_spread_over_the_recording_and_do_not_overlap():
    from spikeinterface.core import NumpyRecording

    fs = 1000.0
    for n in (46_000, 200_000):
        slices = np.array(refinement.spread_slices(NumpyRecording([np.zeros((n, 1), "float32")], fs)))
        assert np.diff(slices, axis=1).sum() == refinement.PART_S * fs
        assert slices[0, 0] == 0 and slices[-1, 1] == n
        assert (slices[1:, 0] >= slices[:-1, 1]).all()
    assert refinement.spread_slices(NumpyRecording([np.zeros((3_000, 1), "float32")], fs)) == [(0, 3000)]


def test_spikes_of_a_part_lie_where_they_are_in_the_recording(few, monkeypatch):
    recording, _, _, found = few
    whole = refinement.match_part(recording, found, np.ones(4), SortingParameters())
    monkeypatch.setattr(refinement, "PART_S", 6.0)
    monkeypatch.setattr(refinement, "SLICE_S", 2.0)
    part = refinement.match_part(recording, found, np.ones(4), SortingParameters())
    assert 0 < len(part) < 0.5 * len(whole)
    assert np.isin(part["sample_index"], whole["sample_index"]).mean() > 0.95
