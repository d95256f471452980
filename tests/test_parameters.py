"""The tables of parameters and of job kwargs, and what they refuse."""

import inspect
import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from spikeinterface.core.job_tools import job_keys

from huidurep_sorter.parameter_fields import by_stage, kinds_of, say_allowed
from huidurep_sorter.parameters import (
    LEAST_FREQ_MIN,
    TDC_PEELER_MS,
    JobKwargs,
    SortingParameters,
    read_job_kwargs,
)

INF, NAN = float("inf"), float("nan")
NUMBERS = [item for item in fields(SortingParameters) if {int, float} & set(kinds_of(item))]
BOOLEANS = [item.name for item in fields(SortingParameters) if kinds_of(item) == (bool,)]
CHOICES = [item for item in fields(SortingParameters) if item.metadata["about"].choices is not None]


def names(items):
    return [item.name for item in items]


def bounds_of(item):
    """Values just inside and just outside the bounds of a number."""
    about, step = item.metadata["about"], 1 if int in kinds_of(item) else 1e-6
    low, high = about.at_least, about.at_most
    inside = [about.above + step if low is None else low, about.below - step if high is None else high]
    outside = [about.above if low is None else low - step, about.below if high is None else high + step]
    return inside, outside


def test_defaults_are_allowed_described_and_survive_json():
    defaults = SortingParameters.defaults()
    SortingParameters.from_dict(json.loads(json.dumps(defaults))).check()
    assert set(SortingParameters.descriptions()) == set(defaults)
    for item in fields(SortingParameters):
        about = item.metadata["about"]
        assert about.text and about.change.endswith("."), item.name
        assert say_allowed(item) in SortingParameters.descriptions()[item.name]


def test_a_description_says_range_unit_and_choices():
    descriptions = SortingParameters.descriptions()
    assert "a number of at least 100 and at most 10000 (Hz)" in descriptions["freq_min"]
    assert "a whole number of at least 1 and at most 10000000, or None" in descriptions["batch_size"]
    assert "'local', 'wobble', 'tdc-peeler', 'circus-omp'" in descriptions["matching_method"]
    assert "True or False" in descriptions["debug"]


def test_stages_hold_each_parameter_once():
    stages = by_stage(SortingParameters)
    assert [name for items in stages.values() for name in names(items)] == list(SortingParameters.defaults())
    assert list(stages)[:3] == ["preprocessing", "motion", "detection"]


@pytest.mark.parametrize("name", ["detect_treshold", "n_jobs", 3])
def test_an_unknown_name_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"unknown parameter {name!r}; the parameters are .*detect_threshold"):
        SortingParameters.from_dict({name: 5})


@pytest.mark.parametrize(("old", "new"), SortingParameters.replaced.items())
def test_an_old_name_says_what_decides_now(old, new):
    with pytest.raises(ValueError, match=f"'{old}' is no parameter any more: '{new}' decides in its place"):
        SortingParameters.from_dict({old: True})
    assert new in SortingParameters.defaults()


# Numbers


@pytest.mark.parametrize("item", NUMBERS, ids=names(NUMBERS))
def test_a_number_is_bounded_on_both_sides(item):
    inside, outside = bounds_of(item)
    apart = {"freq_min": {"freq_max": 2e4}, "freq_max": {"freq_min": LEAST_FREQ_MIN}}.get(item.name, {})
    for value in inside:
        if item.name != "freq_max" or value > LEAST_FREQ_MIN + 1:  # the edge of the band is checked below
            SortingParameters.from_dict({item.name: value} | apart)
    for value in outside:
        with pytest.raises(ValueError, match=f"^{item.name} must be a "):
            SortingParameters.from_dict({item.name: value})


@pytest.mark.parametrize("value", [True, False, NAN, INF, -INF, "5", "", b"5", [5], (5,), {}, 5j, 10**400, np.ones(1)])
@pytest.mark.parametrize("name", names(NUMBERS))
def test_what_is_no_number_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be a "):
        SortingParameters.from_dict({name: value})


@pytest.mark.parametrize("value", [np.array(3), np.array([3.0]), np.float64("nan"), np.bool_(True), np.str_("3")])
@pytest.mark.parametrize("name", ["seed", "detect_threshold"])
def test_numpy_that_is_no_number_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be a "):
        SortingParameters.from_dict({name: value})


@pytest.mark.parametrize("name", ["n_peaks_per_channel", "min_cluster_size", "seed", "batch_size"])
def test_whole_numbers_of_any_kind_become_integers(name):
    for value in (30, 30.0, np.int64(30), np.uint8(30), np.float32(30)):
        found = getattr(SortingParameters.from_dict({name: value}), name)
        assert found == 30 and type(found) is int
    for value in (10.5, np.float32(10.5)):
        with pytest.raises(ValueError, match=f"^{name} must be a whole number"):
            SortingParameters.from_dict({name: value})


@pytest.mark.parametrize("value", [6, 6.0, np.int64(6), np.float32(6), np.float16(6)])
def test_numbers_of_any_kind_become_floats(value):
    found = SortingParameters.from_dict({"detect_threshold": value}).detect_threshold
    assert found == 6.0 and type(found) is float


@pytest.mark.parametrize(("value", "fits"), [(5e-324, False), (0.05, False), (0.1, True), (1000, True)])
def test_a_threshold_that_is_zero_to_single_precision_is_refused(value, fits):
    with nullcontext() if fits else pytest.raises(ValueError, match="^detect_threshold must be "):
        SortingParameters.from_dict({"detect_threshold": value})


def test_only_what_may_be_none_may():
    allowed = {"weights", "batch_size"}
    for name in SortingParameters.defaults():
        if name in allowed:
            SortingParameters.from_dict({name: None})
            continue
        with pytest.raises(ValueError, match=f"^{name} must be "):
            SortingParameters.from_dict({name: None})


# Booleans, choices, texts


@pytest.mark.parametrize("name", BOOLEANS)
def test_a_boolean_is_true_or_false(name):
    for value in (True, False, np.bool_(True)):
        assert type(getattr(SortingParameters.from_dict({name: value}), name)) is bool
    for value in (1, 0, 1.0, "yes", np.int64(1), [True], np.array([True, False])):
        with pytest.raises(ValueError, match=f"^{name} must be True or False, not "):
            SortingParameters.from_dict({name: value})


@pytest.mark.parametrize("item", CHOICES, ids=names(CHOICES))
def test_a_choice_is_one_of_those_registered(item):
    choices = item.metadata["about"].choose()
    assert len(choices) >= 2 and item.default in choices
    for value in choices:
        SortingParameters.from_dict({item.name: value})
        if isinstance(value, str):
            SortingParameters.from_dict({item.name: np.str_(value)})
    for value in ("no_such", "", 1, 1.0, 0, None, [], ["neg"], np.array(["neg", "pos"]), {}):
        with pytest.raises(ValueError, match=f"^{item.name} must be one of "):
            SortingParameters.from_dict({item.name: value})


def test_a_registered_method_is_allowed_at_once(monkeypatch):
    from huidurep_sorter.templates.matching import MATCHERS

    with pytest.raises(ValueError, match="matching_method"):
        SortingParameters.from_dict({"matching_method": "mine"})
    monkeypatch.setitem(MATCHERS, "mine", print)
    SortingParameters.from_dict({"matching_method": "mine"})
    assert "'mine'" in SortingParameters.descriptions()["matching_method"]


@pytest.mark.parametrize("value", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_devices(value):
    assert SortingParameters.from_dict({"torch_device": value}).torch_device == value


@pytest.mark.parametrize("value", ["meta", "cuda:", "cuda:x", "cuda:-1", "cpu\n", "CPU", "", 0, None, True, ["cpu"]])
def test_what_is_no_device_is_refused(value):
    with pytest.raises(ValueError, match="^torch_device must be "):
        SortingParameters.from_dict({"torch_device": value})


def test_weights_are_a_name_or_a_path():
    for value in ("fast", Path("mine.safetensors"), None):
        assert SortingParameters.from_dict({"weights": value}).weights == value
    for value in (3, True, 0.5, ["fast"], np.zeros(2), b"fast"):
        with pytest.raises(ValueError, match="^weights must be "):
            SortingParameters.from_dict({"weights": value})


# Together


@pytest.mark.parametrize(("low", "high"), [(6000.0, 300.0), (300.0, 300.0), (300.0, 300.0001), (1000.0, 1099.0)])
def test_the_band_must_not_be_empty(low, high):
    with pytest.raises(ValueError, match="freq_min .* must be below freq_max"):
        SortingParameters.from_dict({"freq_min": low, "freq_max": high})


def test_the_least_edge_is_what_spikeinterface_takes():
    from spikeinterface.preprocessing.filter import HIGHPASS_ERROR_THRESHOLD_HZ

    assert LEAST_FREQ_MIN == HIGHPASS_ERROR_THRESHOLD_HZ


@pytest.mark.parametrize("name", TDC_PEELER_MS)
def test_tdc_peeler_needs_a_longer_template(name):
    from spikeinterface.sortingcomponents.matching.tdc_peeler import TridesclousPeeler

    least = inspect.signature(TridesclousPeeler).parameters[name].default
    SortingParameters.from_dict({"matching_method": "tdc-peeler", name: least})
    SortingParameters.from_dict({name: least - 0.01})
    with pytest.raises(ValueError, match=f"{name} must be at least {least} ms with matching_method 'tdc-peeler'"):
        SortingParameters.from_dict({"matching_method": "tdc-peeler", name: least - 0.01})


def test_an_error_is_one_short_line():
    with pytest.raises(ValueError) as caught:
        SortingParameters.from_dict({"seed": list(range(10_000))})
    assert len(str(caught.value)) < 150 and "\n" not in str(caught.value)


def test_parameters_cannot_be_changed():
    with pytest.raises(AttributeError):
        SortingParameters().seed = 1


# Job kwargs


def test_job_kwargs_are_those_of_spikeinterface():
    assert set(JobKwargs.defaults()) == set(job_keys)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (None, {}),
        ({}, {}),
        ({"n_jobs": np.int64(2)}, {"n_jobs": 2}),
        ({"n_jobs": -1}, {"n_jobs": -1}),
        ({"n_jobs": 1.0}, {"n_jobs": 1.0}),  # all cores, not one process
        ({"n_jobs": 0.5, "mp_context": None}, {"n_jobs": 0.5}),
        ({"chunk_duration": "500ms"}, {"chunk_duration": "500ms"}),
        ({"chunk_duration": 1}, {"chunk_duration": 1.0}),  # SpikeInterface takes a float, but no int
        ({"chunk_duration": None, "chunk_size": 30_000.0}, {"chunk_size": 30_000}),
        ({"chunk_memory": "500M"}, {"chunk_memory": "500M"}),
        ({"total_memory": "2Gi"}, {"total_memory": "2Gi"}),
        ({"pool_engine": "thread", "mp_context": "spawn"}, {"pool_engine": "thread", "mp_context": "spawn"}),
        ({"max_threads_per_worker": 4, "progress_bar": True}, {"max_threads_per_worker": 4, "progress_bar": True}),
    ],
)
def test_job_kwargs_become_plain(given, plain):
    found = read_job_kwargs(given)
    assert found == plain
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in plain.items()}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("n_jobs", value) for value in (0, 0.0, True, "2", NAN, INF, [2], "all")),
        *(("chunk_duration", v) for v in ("abc", "1", "s", "ms", "0s", "-1s", "1e-9s", "1e400s", "nans", 0, -1.0)),
        *(("chunk_duration", v) for v in (NAN, INF, True, [1.0], "1m")),
        *(("chunk_size", value) for value in (0, -5, 10.5, "30000", INF, True)),
        *((n, v) for n in ("chunk_memory", "total_memory") for v in ("", "1", "abc", "-1G", "0M", "nanG", "1X", 500)),
        *(("mp_context", value) for value in ("x", "", 1, True)),
        *(("pool_engine", value) for value in ("loky", "", 1)),
        *(("max_threads_per_worker", value) for value in (0, -1, 1.5, "2", True)),
        *(("progress_bar", value) for value in ("yes", 1)),
    ],
)
def test_a_bad_job_kwarg_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^job_kwargs: {name} must be .*not "):
        read_job_kwargs({name: value})


def test_only_one_size_of_chunks_is_given():
    with pytest.raises(ValueError, match="job_kwargs: chunk_size and chunk_duration say the same thing"):
        read_job_kwargs({"chunk_size": 30_000, "chunk_duration": "1s"})


def test_job_kwargs_are_a_dict_of_known_names():
    with pytest.raises(ValueError, match="job_kwargs: unknown parameter 'n_job'; the parameters are n_jobs, "):
        read_job_kwargs({"n_job": 2})
    for value in (2, "n_jobs=2", [("n_jobs", 2)]):
        with pytest.raises(ValueError, match="job_kwargs must be a dict"):
            read_job_kwargs(value)


def test_the_table_loads_no_method():
    """Names of methods are read from their modules only when a value is checked or described."""
    code = (
        "import sys, spikeinterface.sorters as ss; ss.get_default_sorter_params('huidurep'); "
        "assert 'huidurep_sorter.parameters' in sys.modules; "
        "heavy = {'torch', 'sklearn', 'hdbscan', 'huidurep_sorter.spikes', 'huidurep_sorter.templates'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); "
        "text = ss.get_sorter_params_description('huidurep')['features']; assert \"'svd'\" in text, text"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
