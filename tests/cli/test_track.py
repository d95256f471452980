"""`huidurep track`: folders in, tables and a page out; one sentence for what can't be read."""

import pandas as pd
import pytest

from huidurep_sorter.cli.main import main
from huidurep_sorter.cli.track import name_sessions
from tests.tracking.conftest import as_analyzer, make_sessions


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Analyzers of two sessions of the same neurons, on disk."""
    root = tmp_path_factory.mktemp("sessions")
    for (recording, sorting), day in zip(make_sessions(2), ("monday", "tuesday"), strict=True):
        recording = recording.save(folder=root / f"{day}_recording", progress_bar=False, verbose=False)
        as_analyzer(recording, sorting, format="binary_folder", folder=root / day)
    return root / "monday", root / "tuesday"


def test_tables_and_a_page_are_written(folders, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["track", *map(str, folders), "-o", str(out)]) == 0, capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["pairs.csv", "tracked.html", "units.csv"]
    units, pairs = pd.read_csv(out / "units.csv"), pd.read_csv(out / "pairs.csv")
    assert set(units["session"]) == {"monday", "tuesday"}
    assert (units["n_sessions"] == 2).sum() >= 10
    assert pairs["probability"].between(0, 1).all()
    told = capsys.readouterr()
    assert "neurons in more than one" in told.out and told.err == ""


def test_sessions_have_names_that_differ():
    assert list(name_sessions(["a/mon", "a/tue"])) == ["mon", "tue"]
    assert list(name_sessions(["a/sorted", "b/sorted"])) == ["a/sorted", "b/sorted"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{monday}"], "at least two sessions, not 1"),
        (["{monday}", "{monday}/../monday"], "a session is given twice"),
        (["{monday}", "{tuesday}", "--weights", "nope"], "nope"),
        (["{monday}", "nowhere"], "nowhere doesn't exist"),
        (["{monday}", "{empty}"], "can't be read as a session"),
        (["{monday}", "{tuesday}", "--min-probability", "1.5"], "--min-probability must be over 0 and under 1"),
        (["{monday}", "{tuesday}", "-o", "{monday}"], "exists: give another folder"),
    ],
)
def test_what_cannot_be_tracked_is_refused_in_one_line(folders, tmp_path, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    paths = dict(monday=folders[0], tuesday=folders[1], empty=tmp_path / "empty")
    given = [argument.format(**paths) for argument in arguments]
    output = [] if "-o" in given else ["-o", str(tmp_path / "out")]
    assert main(["track", *given, *output]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
