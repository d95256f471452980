import pytest

from huidurep_sorter.benchmark.sorters.choices import parse_sorter
from huidurep_sorter.cli.main import main


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kilosort17", "no sorter 'kilosort17'"),
        ("huidurep:threshold=3", "no parameter 'threshold'"),
        ("huidurep:svd", "PARAMETER=VALUE"),
        ("huidurep:detect_threshold=-3", "detect_threshold"),
    ],
)
def test_sorters_that_cannot_be(data, tmp_path, capsys, text, message):
    arguments = ["benchmark", "sorters", "--data", str(data), "-o", str(tmp_path / "o"), "--sorters", text]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_sorters_are_at_their_defaults_but_for_random_seeds():
    assert parse_sorter("huidurep").params == {}
    assert parse_sorter("simple").params == {"seed": 0}
    choice = parse_sorter("huidurep:weights=a/b,detect_threshold=6.5")
    assert choice.params == {"weights": "a/b", "detect_threshold": 6.5}
    assert choice.label == "huidurep weights=a_b detect_threshold=6.5"
