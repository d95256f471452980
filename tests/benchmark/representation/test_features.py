import numpy as np
import pytest

from huidurep_sorter.benchmark.representation.features import NAMED, compute_features
from huidurep_sorter.benchmark.representation.known_spikes import draw_spikes, read_known_spikes
from huidurep_sorter.spikes.features import FEATURES, svd_features


@pytest.fixture(scope="module")
def known(tetrode, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    recording, truth = tetrode
    recording.save(folder=folder / "recording", progress_bar=False, verbose=False)
    truth.save(folder=folder / "sorting")
    known = read_known_spikes(folder)
    return known.take(draw_spikes(known, 40))


def test_every_method_of_the_sorter_is_compared():
    assert set(NAMED) == {"pca", *FEATURES} - {"huidurep"}  # encoders are compared under their own names


def test_svd_is_just_that_of_the_sorter(known):
    found = compute_features(known.recording, known.peaks, {"a": "svd", "b": "pca"}, seed=1)
    assert set(found) == {"a", "b", "snippets"} and len(found["b"]) == len(known.unit)
    expected = svd_features(known.recording, known.peaks, 1, dict(n_jobs=1, progress_bar=False))
    np.testing.assert_array_equal(found["a"], expected)
