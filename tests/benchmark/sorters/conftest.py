"""A folder with one recording and its known units."""

import pytest


@pytest.fixture(scope="package")
def data(tetrode, tmp_path_factory):
    """Save one recording and its true sorting in a folder, as the benchmark wants them."""
    recording, truth = tetrode
    folder = tmp_path_factory.mktemp("data")
    recording.save(folder=folder / "one" / "recording", verbose=False, progress_bar=False)
    truth.save(folder=folder / "one" / "sorting")
    return folder
