import pytest

from huidurep_sorter.cli.main import main


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "none.yaml"),
        ("{", "is no YAML or JSON file"),
        ("seed: 0", "names no file of footprints"),
        ("footprints: {nowhere.npz: 1}", "there is no file of footprints nowhere.npz"),
        ("n_recording: 3", "n_recording"),
        ("n_recordings: 0", "n_recordings must be at least 1"),
    ],
)
def test_a_configuration_that_is_not_there_or_wrong_is_bad_usage(tmp_path, capsys, text, message):
    if text is not None:
        (tmp_path / "none.yaml").write_text(text)
    assert main(["pretrain-decisions", str(tmp_path / "none.yaml"), "-o", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
