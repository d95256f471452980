"""Small recordings with ground truth, generated once and saved, since generated ones are slow to read."""

import matplotlib
import pytest

matplotlib.use("Agg")


def make_recording(folder, num_channels=4, durations=(10.0,), num_units=4, seed=0):
    from spikeinterface.core import generate_ground_truth_recording

    recording, truth = generate_ground_truth_recording(
        durations=list(durations), num_channels=num_channels, num_units=num_units, seed=seed
    )
    return recording.save(folder=folder / "recording", verbose=False, progress_bar=False), truth


@pytest.fixture(scope="session")
def tetrode(tmp_path_factory):
    """10 s on 4 channels: recording and truth."""
    return make_recording(tmp_path_factory.mktemp("tetrode"))


@pytest.fixture(scope="session")
def two_segments(tmp_path_factory):
    """10 s and 6 s on 4 channels: recording and truth."""
    return make_recording(tmp_path_factory.mktemp("two_segments"), durations=(10.0, 6.0))


@pytest.fixture(scope="session")
def quick():
    """Parameters that avoid what is slow to compile or to draw."""
    return dict(
        save_report=False,
        detection_method="locally_exclusive",
        clustering_method="gmm",
        apply_motion_correction=False,
        features="svd",
    )
