"""The table of parameters and its checks."""

import json

import pytest

from huidurep_sorter.parameters import SortingParameters


def test_defaults_are_allowed_described_and_survive_json():
    defaults = SortingParameters.defaults()
    SortingParameters.from_dict(json.loads(json.dumps(defaults))).check()
    assert set(SortingParameters.descriptions()) == set(defaults)
    assert all(SortingParameters.descriptions().values())


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(ValueError, match="detect_treshold"):
        SortingParameters.from_dict({"detect_treshold": 5})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("peak_sign", "negative"),
        ("features", "pca"),
        ("clustering_method", "kmeans"),
        ("matching_method", "naive"),
        ("apply_motion_correction", "yes"),
        ("cache_preprocessing_mode", "disk"),
        ("detect_threshold", 0),
        ("detect_threshold", "5"),
        ("freq_min", -1.0),
        ("freq_max", float("nan")),
        ("n_peaks_per_channel", 10.5),
        ("min_firing_rate", -0.1),
        ("seed", -1),
        ("seed", None),
        ("batch_size", 0),
        ("debug", 1),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_parameter(name, value):
    with pytest.raises(ValueError, match=name):
        SortingParameters.from_dict({name: value})


def test_the_band_must_not_be_empty():
    with pytest.raises(ValueError, match="freq_min"):
        SortingParameters.from_dict({"freq_min": 6000.0, "freq_max": 300.0})


def test_parameters_cannot_be_changed():
    with pytest.raises(AttributeError):
        SortingParameters().seed = 1
