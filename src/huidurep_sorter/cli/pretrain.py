"""`huidurep pretrain CONFIG -o OUT`: train an encoder, or fine-tune a shipped one."""

import logging
from pathlib import Path

from huidurep_sorter.cli.main import EXIT_CODES, UsageError


def add_command(subparsers):
    """Add `pretrain`."""
    text = "Train an encoder on recordings or simulated ones. Run again with the same OUT, it goes on where it stopped."
    parser = subparsers.add_parser(
        "pretrain", help="train an encoder on your own data", description=text, epilog="exit codes: " + EXIT_CODES
    )
    parser.add_argument("config", type=Path, help="YAML or JSON file; see configs/ in the repository")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--init",
        action="append",
        help="weights to start from: a shipped name (fast) or a file; given several times, the mean of all",
    )
    parser.add_argument("--torch-device", default="auto", help="auto | cpu | cuda | cuda:1 | mps (default: auto)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log and progress on stderr")
    parser.set_defaults(run=run)


def run(arguments):
    """Train; returns the exit code."""
    from huidurep_sorter.training.config import read_config
    from huidurep_sorter.training.train import pretrain

    if arguments.verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        config = read_config(arguments.config)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    weights = pretrain(config, arguments.output, arguments.init, arguments.torch_device, arguments.verbose)
    print(f"weights: {weights} (give them to the sorter as weights={str(weights)!r})")
    return 0
