"""The extension of SpikeInterface's analyzer: computed, saved, loaded, handed on; and metrics on embeddings."""

import subprocess
import sys

import numpy as np
import pytest
from spikeinterface.core import NumpySorting, create_sorting_analyzer, load

from huidurep_sorter import compute_embedding_metrics

NAME = "huidurep_embeddings"


@pytest.fixture(scope="module")
def analyzer(tetrode, tmp_path_factory):
    """Of the true units of a tetrode, on disk, with embeddings."""
    recording, truth = tetrode
    folder = tmp_path_factory.mktemp("analyzer") / "folder"
    analyzer = create_sorting_analyzer(truth, recording, format="binary_folder", folder=folder)
    analyzer.compute(["random_spikes", "templates"])
    analyzer.compute(NAME)
    return analyzer


def embeddings_of(analyzer):
    return np.asarray(analyzer.get_extension(NAME).get_data())


def test_it_has_an_embedding_of_each_random_spike(analyzer):
    spikes = analyzer.get_extension("random_spikes").get_random_spikes()
    found = embeddings_of(analyzer)
    assert found.shape == (len(spikes), 32) and found.dtype == np.float32 and np.isfinite(found).all()
    parts = [analyzer.get_extension(NAME).get_embeddings_one_unit(unit) for unit in analyzer.unit_ids]
    assert sum(map(len, parts)) == len(found)
    means = np.array([part.mean(axis=0) for part in parts])
    spread = np.mean([part.std() for part in parts])
    apart = np.linalg.norm(means[:, None] - means, axis=2)[np.triu_indices(len(means), 1)]
    assert np.median(apart) > 2 * spread  # neurons lie apart


def test_it_is_saved_and_loaded_without_an_import_of_ours(analyzer):
    code = (
        "import sys, spikeinterface.sorters, spikeinterface.core as sc;"
        "data = sc.load(sys.argv[1]).get_extension('huidurep_embeddings').get_data();"
        "print(data.shape[0], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(analyzer.folder)], capture_output=True, text=True)
    assert done.stdout.split() == [str(len(embeddings_of(analyzer))), "False"], done.stderr


def test_it_is_handed_on_to_fewer_and_to_merged_units(analyzer, tmp_path):
    spikes, found = analyzer.get_extension("random_spikes").get_random_spikes(), embeddings_of(analyzer)
    fewer = analyzer.select_units(analyzer.unit_ids[1:3])
    np.testing.assert_array_equal(embeddings_of(fewer), found[np.isin(spikes["unit_index"], [1, 2])])
    saved = load(fewer.save_as(folder=tmp_path / "fewer.zarr", format="zarr").folder)
    np.testing.assert_array_equal(embeddings_of(saved), embeddings_of(fewer))
    merged = analyzer.merge_units([list(analyzer.unit_ids[:2])])
    assert merged.has_extension(NAME)
    kept = merged.get_extension("random_spikes").get_random_spikes()
    assert len(embeddings_of(merged)) == len(kept)


def test_metrics_tell_a_neuron_from_half_of_one(analyzer, tetrode):
    metrics = compute_embedding_metrics(analyzer)
    assert list(metrics.columns) == ["nn_hit_rate", "nn_miss_rate", "isolation_distance", "l_ratio", "d_prime"]
    assert list(metrics.index) == list(analyzer.unit_ids)
    recording, truth = tetrode
    first = truth.unit_ids[metrics["nn_hit_rate"].to_numpy().argmax()]
    assert metrics.loc[first, "nn_hit_rate"] > 0.8
    trains = {str(unit): truth.get_unit_spike_train(unit) for unit in truth.unit_ids if unit != first}
    whole = truth.get_unit_spike_train(first)
    split = NumpySorting.from_unit_dict(trains | {"even": whole[::2], "odd": whole[1::2]}, truth.sampling_frequency)
    other = create_sorting_analyzer(split, recording)
    other.compute(["random_spikes", "templates", NAME])
    halves = compute_embedding_metrics(other).loc[["even", "odd"]]
    assert (halves["nn_hit_rate"] < 0.7).all() and (halves["d_prime"] < metrics.loc[first, "d_prime"]).all()


def test_without_the_extension_it_is_said(tetrode):
    analyzer = create_sorting_analyzer(tetrode[1], tetrode[0])
    with pytest.raises(ValueError, match="huidurep_embeddings"):
        compute_embedding_metrics(analyzer)
