"""`huidurep benchmark representation FOLDER -o OUT`: compare features of spikes on recordings with ground truth."""

from pathlib import Path

from huidurep_sorter.cli import EXIT_CODES, UsageError


def add_command(subparsers):
    """Add `benchmark` and what it compares."""
    parser = subparsers.add_parser("benchmark", help="compare on recordings with ground truth", epilog="exit codes: " + EXIT_CODES)
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    kind = kinds.add_parser("representation", help="features of spikes: encoders, PCA, SVD and a bound from labels")
    kind.add_argument("data", type=Path, help="folder of NAME/recording and NAME/sorting")
    kind.add_argument("-o", "--output", type=Path, required=True, help="folder for table and figure; what is in it is kept")
    kind.add_argument("--features", nargs="+", default=["pca", "svd", "fast"], help="pca, svd, names or files of weights")
    kind.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    kind.add_argument("-v", "--verbose", action="store_true", help="progress on stderr")
    kind.set_defaults(run=run_representation)


def run_representation(arguments):
    """Score, write, print the table; returns the exit code."""
    from huidurep_sorter.benchmark.representation_report import run_benchmark

    if not arguments.data.is_dir():
        raise UsageError(f"{arguments.data} isn't a folder")
    run_benchmark(arguments.data, arguments.output, arguments.features, arguments.seeds, arguments.verbose)
    print((arguments.output / "table.md").read_text())
    return 0
