import pytest

from huidurep_sorter.benchmark.folders import find_folders


def test_only_folders_with_recording_and_sorting_are_found(tmp_path):
    for name in ("b/recording", "b/sorting", "a/recording", "a/sorting", "c/recording"):
        (tmp_path / name).mkdir(parents=True)
    assert [folder.name for folder in find_folders(tmp_path)] == ["a", "b"]


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no subfolder"):
        find_folders(tmp_path)
    with pytest.raises(ValueError, match="isn't a folder"):
        find_folders(tmp_path / "nothing")
