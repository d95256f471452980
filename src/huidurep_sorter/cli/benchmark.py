"""`huidurep benchmark WHAT`: compare features of spikes, or sorters, on recordings with ground truth."""

from pathlib import Path

from huidurep_sorter.cli.main import EXIT_CODES, UsageError


def add_command(subparsers):
    """Add `benchmark` and what it compares."""
    parser = subparsers.add_parser(
        "benchmark", help="compare on recordings with ground truth", epilog="exit codes: " + EXIT_CODES
    )
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    add_representation(kinds)
    add_sorters(kinds)


def add_representation(kinds):
    """Add `benchmark representation`."""
    text = (
        "How well features tell apart known spikes, beside a bound from labels; what the encoders' denoising gains; "
        "and, where there is NAME/next_session, whether units are recognised in it."
    )
    help_text = "features of spikes: encoders, PCA, SVD"
    kind = kinds.add_parser("representation", help=help_text, description=text)
    kind.add_argument(
        "data",
        type=Path,
        help="folder of NAME/recording and NAME/sorting; optionally NAME/next_session/recording and .../sorting, a "
        "later one of the same units, with the same ids",
    )
    kind.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for table and figure; what is in it is kept"
    )
    kind.add_argument(
        "--features", nargs="+", help="pca, svd, names or files of weights (default: pca, svd, all shipped weights)"
    )
    kind.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[0, 1, 2],
        help="of the choice of spikes and of the mixtures (default: 0 1 2)",
    )
    kind.add_argument("-v", "--verbose", action="store_true", help="progress on stderr")
    kind.set_defaults(run=run_representation)


def add_sorters(kinds):
    """Add `benchmark sorters`."""
    text = "Run sorters on recordings with known units: tables, figures, and a SorterStudy to go on with."
    kind = kinds.add_parser("sorters", help="sorters at their defaults", description=text)
    source = kind.add_mutually_exclusive_group()
    source.add_argument(
        "--data",
        type=Path,
        help="folder of NAME/recording and NAME/sorting (NAME_seedS: of one recording, several)",
    )
    source.add_argument(
        "--suite",
        choices=["quick", "full"],
        default="quick",
        help="generated recordings (default: %(default)s)",
    )
    kind.add_argument("-o", "--output", type=Path, required=True, help="folder for it all; what has been run is kept")
    kind.add_argument(
        "--sorters",
        nargs="+",
        metavar="SORTER",
        help="names, or NAME:PARAMETER=VALUE,... (default: huidurep and peers)",
    )
    kind.add_argument("--recordings", nargs="+", metavar="NAME", help="only these, of the suite or of the folder")
    kind.add_argument("--seeds", nargs="+", type=int, help="of the suite (default: 0)")
    kind.add_argument(
        "--redo", nargs="+", default=[], metavar="SORTER", help="run these anew: a new version, or it failed"
    )
    kind.add_argument("--n-jobs", type=int, default=1, help="for every sorter (default: %(default)s)")
    kind.add_argument(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help="stop what takes longer: it failed",
    )
    kind.add_argument("-v", "--verbose", action="store_true", help="progress on stderr")
    kind.set_defaults(run=run_sorters)


def run_representation(arguments):
    """Score features, write the results, print the table, and return the exit code."""
    from huidurep_sorter.benchmark.folders import find_folders
    from huidurep_sorter.benchmark.representation.report import choose_methods, run_benchmark

    try:
        find_folders(arguments.data)
        choose_methods(arguments.features)  # says what is wrong before any work
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None
    run_benchmark(arguments.data, arguments.output, arguments.features, arguments.seeds, arguments.verbose)
    print((arguments.output / "table.md").read_text(encoding="utf8"))
    return 0


def run_sorters(arguments):
    """Compare sorters, write the results, print the table, and return the exit code: 1 where huidurep failed."""
    from huidurep_sorter.benchmark.sorters.choices import PEERS, choose_sorters
    from huidurep_sorter.benchmark.sorters.report import run_benchmark

    texts = arguments.sorters or ["huidurep", *PEERS]
    try:
        choose_sorters([*texts, *arguments.redo])  # says what is wrong before any work
        folders = choose_recordings(arguments)
    except ValueError as error:
        raise UsageError(str(error)) from None
    given = dict(n_jobs=arguments.n_jobs, redo=arguments.redo, time_limit_s=arguments.time_limit)
    tables = run_benchmark(arguments.output, folders, texts, **given, verbose=arguments.verbose)
    print((arguments.output / "table.md").read_text(encoding="utf8"))
    rows = tables["recordings"]
    return int((rows["sorter"].str.split().str[0].eq("huidurep") & (rows["status"] != "ok")).any())


def choose_recordings(arguments):
    """Find the user's folders of recording and truth, or those of a suite, which is generated where it isn't there."""
    from huidurep_sorter.benchmark.folders import find_folders
    from huidurep_sorter.benchmark.sorters.suites import make_suite

    if arguments.data is None:
        folder = arguments.output / f"{arguments.suite}_suite"
        return make_suite(folder, arguments.suite, arguments.seeds or [0], arguments.recordings)
    if arguments.seeds:
        raise ValueError("--seeds are those of a suite: leave them out with --data")
    folders = find_folders(arguments.data)
    missing = sorted(set(arguments.recordings or ()) - {folder.name for folder in folders})
    if missing:
        raise ValueError(f"{arguments.data} has no recording {missing[0]!r}")
    return [folder for folder in folders if folder.name in (arguments.recordings or [folder.name])]
