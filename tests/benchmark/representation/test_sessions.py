import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from huidurep_sorter.benchmark.representation.known_spikes import KnownSpikes
from huidurep_sorter.benchmark.representation.sessions import (
    RECALL_NAMES,
    features_of_sessions,
    recall_at_1,
    session_scores,
)
from huidurep_sorter.training.known_spikes import PEAK_DTYPE


def make_session(unit_ids, snr=10.0, n=30, spacing_um=20.0, seed=0):
    traces = np.random.default_rng(seed).normal(size=(9000, 4)).astype("float32")
    recording = NumpyRecording([traces], 30000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, spacing_um * i] for i in range(4)]))
    unit = np.tile(np.arange(len(unit_ids)), n)
    peaks = np.zeros(len(unit), dtype=PEAK_DTYPE)
    peaks["sample_index"] = np.linspace(200, 8800, len(unit))
    return KnownSpikes(
        recording=recording,
        peaks=peaks,
        sample_index=peaks["sample_index"],
        unit=unit,
        unit_ids=np.array(unit_ids),
        location_um=np.zeros((len(unit), 2)),
        snr=np.broadcast_to(snr, len(unit_ids))[unit],
        collides=np.zeros(len(unit), dtype=bool),
    )


def test_recall_counts_both_directions():
    first = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0])}
    assert recall_at_1(first, {"a": np.array([3.0, 0.1]), "b": np.array([0.1, 0.2])}) == {"a": 1.0, "b": 1.0}
    # both are now nearest to a in the second, and a of the second to a
    assert recall_at_1(first, {"a": np.array([1.0, 0.5]), "b": np.array([-1.0, 0.2])}) == {"a": 1.0, "b": 0.5}
    assert recall_at_1(first, {"a": first["b"], "b": first["a"]}) == {"a": 0.0, "b": 0.0}


def test_a_unit_of_one_session_only_is_a_candidate_but_not_scored():
    first = {"a": np.array([1.0, 0.0])}
    second = {"a": np.array([0.6, 0.8]), "b": np.array([1.0, 0.1])}
    assert recall_at_1(first, second) == {"a": 0.5}


def test_recall_equals_a_slow_reference():
    rng = np.random.default_rng(0)
    first, second = ({u: rng.normal(size=3) for u in range(9)} for _ in range(2))
    for unit, found in recall_at_1(first, second).items():
        slow = 0.0
        for own, other in ((first, second), (second, first)):
            cosine = {v: own[unit] @ x / np.linalg.norm(own[unit]) / np.linalg.norm(x) for v, x in other.items()}
            slow += 0.5 * (max(cosine, key=cosine.get) == unit)
        assert found == slow


def test_units_are_matched_by_id_and_scored_by_snr():
    first, second = make_session(["a", "b", "c"], snr=[9.0, 9.0, 5.0]), make_session(["c", "b", "a"], snr=9.0)
    direction = {"a": [1.0, 0, 0], "b": [0, 1.0, 0], "c": [0, 0, 1.0]}

    def features(known, swap):
        x = np.array([direction[swap.get(u, u)] for u in known.unit_ids[known.unit]])
        return x + 0.3 * np.random.default_rng(1).normal(size=x.shape)

    same = np.concatenate([features(first, {}), features(second, {})])
    assert session_scores(same, first, second) == dict.fromkeys(RECALL_NAMES, 1.0)
    swapped = np.concatenate([features(first, {}), features(second, {"b": "c", "c": "b"})])
    scores = session_scores(swapped, first, second)
    assert scores[RECALL_NAMES[0]] == pytest.approx(1 / 2)  # a and b: c is below 8 in the first
    assert scores[RECALL_NAMES[1]] == pytest.approx(1 / 3)


def test_features_of_both_sessions_come_from_their_own_recording():
    first, second = make_session(["a"], n=40), make_session(["a"], n=50, seed=1)
    found = features_of_sessions(first, second, {"pca": "pca"})
    assert found["pca"].shape == (90, 32)
    own = second.recording.get_traces()[second.peaks["sample_index"], second.peaks["channel_index"]]
    np.testing.assert_array_equal(found["snippets"].reshape(90, 121, 11)[40:, 40, 0], own)


def test_probes_must_be_the_same():
    with pytest.raises(ValueError, match="same channels"):
        features_of_sessions(make_session(["a"]), make_session(["a"], spacing_um=25.0), {"pca": "pca"})
