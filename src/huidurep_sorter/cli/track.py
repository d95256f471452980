"""`huidurep track SESSION SESSION ... -o OUT`: the same neurons in several sessions."""

import logging
from pathlib import Path

from huidurep_sorter.cli.main import UsageError, is_taken


def add_command(subparsers):
    """Add `track`."""
    parser = subparsers.add_parser(
        "track",
        help="find the same neurons in several sessions",
        description="Find which units of several sessions of one probe are one neuron, and how probable that is. "
        "OUT gets tracked.html (to look at), units.csv (a neuron for each unit) and pairs.csv (a probability for each "
        "two units that lie near each other).",
    )
    parser.add_argument(
        "sessions",
        type=Path,
        nargs="+",
        metavar="SESSION",
        help="output folder of a sorter, or a SortingAnalyzer; of any sorter, in the order in which they were recorded",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder to make")
    parser.add_argument(
        "--min-probability",
        type=float,
        default=0.5,
        help="from which two units get one identity; raise it where a wrong match costs more than a missed one "
        "(default: %(default)s)",
    )
    parser.add_argument("--use-firing", action="store_true", help="let rates and intervals between spikes count too")
    parser.add_argument("--weights", help="weights of the encoder: a shipped name or a file")
    parser.add_argument("--torch-device", default="auto", help="auto | cpu | cuda | cuda:1 | mps (default: auto)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log on stderr")
    parser.set_defaults(run=run)


def run(arguments):
    """Track, write what was found, and return the exit code."""
    from huidurep_sorter.encoder.checkpoints import load_encoder
    from huidurep_sorter.tracking.page import make_page
    from huidurep_sorter.tracking.tracking import track_units

    output = arguments.output
    if is_taken(output):
        raise UsageError(f"{output} exists: give another folder")
    if not 0 < arguments.min_probability < 1:
        raise UsageError(f"--min-probability must be over 0 and under 1, not {arguments.min_probability}")
    if arguments.verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    analyzers = {name: read_session(path) for name, path in name_sessions(arguments.sessions).items()}
    try:
        encoder = load_encoder(arguments.weights, arguments.torch_device)
        output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    given = dict(use_firing=arguments.use_firing, min_probability=arguments.min_probability, weights=encoder)
    try:
        tracked = track_units(analyzers, **given)
    except BaseException as error:
        output.rmdir()  # it is empty
        raise UsageError(str(error)) if isinstance(error, ValueError) else error from None
    tracked.pairs.to_csv(output / "pairs.csv", index=False)
    tracked.units.to_csv(output / "units.csv", index=False)
    page = output / "tracked.html"
    page.write_text(make_page(tracked, output.absolute().name), encoding="utf8")
    n_followed = (tracked.units.groupby("neuron").size() > 1).sum()
    print(f"{len(tracked.units)} units of {len(analyzers)} sessions, {n_followed} neurons in more than one: {page}")
    return 0


def name_sessions(paths):
    """Give sessions short names that differ: those of their folders, or else their paths; a dict of name to path.

    Raises
    ------
    UsageError
        If a session is given twice.
    """
    paths = [Path(path) for path in paths]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a session is given twice")
    names = [path.absolute().name for path in paths]
    return dict(zip(names if len(set(names)) == len(names) else map(str, paths), paths, strict=True))


def read_session(path):
    """Read a session as a `SortingAnalyzer`.

    Raises
    ------
    UsageError
        If it can't be read.
    """
    from spikeinterface.core import create_sorting_analyzer

    from huidurep_sorter.cli.report import read_pair

    if not path.exists():
        raise UsageError(f"{path} doesn't exist")
    folder = path.parent if path.name == "sorter_output" else path
    try:
        recording, sorting = read_pair(folder, None, None)
        if recording is None:
            raise ValueError(f"{folder} has no recording: it may have moved")
        unknown = [0] * len(sorting.unit_ids)  # main channels: tracking finds its own
        return create_sorting_analyzer(sorting, recording, sparse=False, main_channel_indices=unknown)
    except Exception as error:  # readers raise many kinds
        why = str(error) or type(error).__name__
        raise UsageError(f"{path} can't be read as a session with its recording: {why}") from error
