"""Whitening in blocks beside SpikeInterface's."""

import numpy as np
import pytest
from probeinterface import generate_multi_columns_probe
from spikeinterface.core import NumpyRecording, get_channel_distances, load
from spikeinterface.preprocessing import whiten

from huidurep_sorter.traces.whitening import LocallyWhitenedRecording, cut_into_blocks


def recording_on_a_probe(n_rows, shuffled):
    rng = np.random.default_rng(0)
    probe = generate_multi_columns_probe(num_columns=2, num_contact_per_column=n_rows, xpitch=30, ypitch=20)
    wiring = np.arange(2 * n_rows)
    probe.set_device_channel_indices(rng.permutation(wiring) if shuffled else wiring)
    recording = NumpyRecording([rng.normal(size=(500, 2 * n_rows)).astype("float32")], 30000.0)
    recording.set_probe(probe)
    return recording


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("n_rows", [1, 8, 60])
def test_it_is_the_product_with_the_matrix(n_rows, shuffled):
    recording = recording_on_a_probe(n_rows, shuffled)
    n = recording.get_num_channels()
    matrix = np.random.default_rng(1).normal(size=(n, n)) * (get_channel_distances(recording) <= 60)
    matrix[:, 1] = matrix[1] = 0  # a channel that is dead
    matrix = matrix.astype("float32")
    found = LocallyWhitenedRecording(recording, matrix)
    expected = whiten(recording, W=matrix, dtype="float32").get_traces()
    for reread in (found, load(found.to_dict())):
        np.testing.assert_allclose(reread.get_traces(), expected, atol=1e-4)
        some = recording.channel_ids[[1, 0]]
        np.testing.assert_allclose(reread.get_traces(0, 10, 90, some), expected[10:90, [1, 0]], atol=1e-4)


def test_blocks_hold_each_weight_once():
    matrix = np.triu(np.tril(np.ones((70, 70), dtype="float32"), 3), -3)
    blocks, whole = cut_into_blocks(matrix, np.arange(70), 32), np.zeros_like(matrix)
    for columns, rows, part in blocks:
        whole[rows, columns] += part
    np.testing.assert_array_equal(whole, matrix)
    assert len(blocks) == 3 and max(part.shape[0] for *_, part in blocks) <= 38
