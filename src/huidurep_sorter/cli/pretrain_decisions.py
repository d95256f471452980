"""`huidurep pretrain-decisions CONFIG -o OUT`: train the networks that decide what is one neuron."""

import logging
from pathlib import Path

import yaml

from huidurep_sorter.cli.main import EXIT_CODES, UsageError, bad_usage

DESCRIPTION = (
    "Train the networks that decide which clusters and units are one neuron, and which units are neurons at all. "
    "Recordings are simulated from footprints and sorted; the networks learn from their clusters and units. Run again "
    "with the same OUT, it goes on where it stopped. The configuration of the shipped ones is "
    "weights/decisions/config.yaml of the repository."
)


def add_command(subparsers):
    """Add `pretrain-decisions`."""
    parser = subparsers.add_parser(
        "pretrain-decisions",
        help="train the networks that decide what is one neuron",
        description=DESCRIPTION,
        epilog="exit codes: " + EXIT_CODES.replace("the sorting failed", "it failed"),
    )
    parser.add_argument("config", type=Path, help="a YAML or JSON file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("-v", "--verbose", action="store_true", help="log and progress on stderr")
    parser.set_defaults(run=run)


def run(arguments):
    """Train; return the exit code."""
    from huidurep_sorter.training.config import build, read_values
    from huidurep_sorter.training.decisions import DecisionsConfig, pretrain_decisions, read_all

    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, format="%(message)s")
    with bad_usage():
        try:
            config = build(DecisionsConfig, read_values(arguments.config), str(arguments.config))
        except (yaml.YAMLError, UnicodeDecodeError):
            raise UsageError(f"{arguments.config} is no YAML or JSON file of a configuration") from None
        missing = [path for path in config.footprints if not Path(path).is_file()]
        if missing:
            raise UsageError(f"there is no file of footprints {missing[0]}")
        if not config.footprints:
            raise UsageError(f"{arguments.config} names no file of footprints to simulate from")
        read_all(config.footprints)
    for path in pretrain_decisions(config, arguments.output, arguments.verbose):
        print(f"weights: {path}")
    return 0
