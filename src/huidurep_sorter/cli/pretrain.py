"""`huidurep pretrain CONFIG -o OUT`: train an encoder, or fine-tune a shipped one."""

import logging
from dataclasses import replace
from pathlib import Path

import yaml

from huidurep_sorter.cli.main import EXIT_CODES, UsageError

CONFIGS_FOLDER = Path(__file__).parents[1] / "configs"


def add_command(subparsers):
    """Add `pretrain`."""
    text = "Train an encoder on recordings or simulated ones. Run again with the same OUT, it goes on where it stopped."
    parser = subparsers.add_parser(
        "pretrain", help="train an encoder on your own data", description=text, epilog="exit codes: " + EXIT_CODES
    )
    names = ", ".join(shipped_configs())
    parser.add_argument("config", help=f"name of a shipped configuration ({names}), or a YAML or JSON file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--recordings",
        type=Path,
        metavar="FOLDER",
        help="folder of recordings to train on, each as SpikeInterface saves it (in place of the configuration's)",
    )
    parser.add_argument(
        "--init",
        action="append",
        help="weights to start from: a shipped name (default of finetune: fast) or a file; several: the mean of all",
    )
    parser.add_argument("--torch-device", default="auto", help="auto | cpu | cuda | cuda:1 | mps (default: auto)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log and progress on stderr")
    parser.set_defaults(run=run)


def run(arguments):
    """Train; return the exit code."""
    from huidurep_sorter.encoder.checkpoints import DEFAULT_WEIGHTS
    from huidurep_sorter.training.config import read_config
    from huidurep_sorter.training.train import pretrain

    if arguments.verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        config = read_config(find_config(arguments.config))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(str(error)) from error
    if arguments.recordings is not None:
        config = replace(config, data=replace(config.data, recordings=str(arguments.recordings)))
    check_recordings(config.data.recordings)
    init = arguments.init
    if init is None and arguments.config == "finetune":
        init = [DEFAULT_WEIGHTS]  # without weights to start from there is nothing to tune
    weights = pretrain(config, arguments.output, init, arguments.torch_device, arguments.verbose)
    print(f"weights: {weights} (give them to the sorter as weights={str(weights)!r})")
    return 0


def shipped_configs() -> list[str]:
    """List the names of the configurations inside the package."""
    return sorted(path.stem for path in CONFIGS_FOLDER.glob("*.yaml"))


def find_config(name: str) -> Path:
    """Find a configuration by its shipped name or, where no shipped one has that name, as a file.

    Raises
    ------
    UsageError
        If there is neither.
    """
    if name in shipped_configs():
        return CONFIGS_FOLDER / f"{name}.yaml"
    if not Path(name).is_file():
        raise UsageError(f"no configuration {name!r}: give a file, or a shipped name ({', '.join(shipped_configs())})")
    return Path(name)


def check_recordings(folder: str | None):
    """Raise UsageError where a configuration names a folder of recordings that isn't there."""
    if folder is not None and not Path(folder).is_dir():
        raise UsageError(f"there is no folder of recordings {folder!r}: name yours with --recordings FOLDER")
