"""`huidurep pretrain CONFIG RECORDINGS... -o OUT`: adapt a shipped encoder to own recordings, or train another one."""

import logging
import shlex
import sys
from pathlib import Path

import yaml

from huidurep_sorter.cli.main import EXIT_CODES, UsageError, bad_usage
from huidurep_sorter.cli.options import add_reading_options, read_with_options
from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.traces.checks import check_recording

CONFIGS_FOLDER = Path(__file__).parents[1] / "configs"
DESCRIPTION = (
    "Train an encoder. With `finetune` the default encoder adapts to your recordings: the sorter finds their units, "
    "the encoder learns from most of the time, and is scored before and after on the rest. Where it isn't better, the "
    "exit code is 1 and no weights are written. Run again with the same OUT, training goes on where it stopped."
)


def add_command(subparsers):
    """Add `pretrain`."""
    parser = subparsers.add_parser(
        "pretrain",
        help="adapt the encoder to your own recordings, or train another",
        description=DESCRIPTION,
        epilog="exit codes: " + EXIT_CODES.replace("the sorting failed", "it failed, or the result isn't better"),
    )
    names = ", ".join(shipped_configs())
    parser.add_argument("config", help=f"name of a shipped configuration ({names}), or a YAML or JSON file")
    parser.add_argument(
        "recordings",
        type=Path,
        nargs="*",
        metavar="RECORDING",
        help="recordings to train on, read as huidurep sort reads them; a folder of SpikeInterface folders stands for "
        "all of them",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--recordings", dest="folder", type=Path, help="the same as RECORDING, for a folder of them")
    parser.add_argument(
        "--init",
        action="append",
        help="weights to start from: a shipped name (default of finetune: fast) or a file; several: the mean of all",
    )
    parser.add_argument("--keep", action="store_true", help="with finetune: write the weights even if not better")
    parser.add_argument("--torch-device", default="auto", help="auto | cpu | cuda | cuda:1 | mps (default: auto)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log and progress of each step on stderr")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(arguments):
    """Train; return the exit code."""
    from huidurep_sorter.training.train import open_run

    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, format="%(message)s")
    logging.getLogger("huidurep_sorter.training").setLevel(logging.INFO)
    with bad_usage():
        config = read_config(arguments.config)
        init = arguments.init or (["auto"] if config.data.sort else None)  # without any there is nothing to adapt
        paths = name_recordings(find_recordings(arguments, config))
        opened = {name: open_recording(path, arguments) for name, path in paths.items()}
        training = open_run(config, arguments.output, init, arguments.torch_device, opened)
    if config.data.sort and opened:
        return adapt(training, init, paths, arguments)
    weights = training.save(training.train(arguments.verbose))
    print(f"weights: {weights}\n{how_to_use(weights)}")
    return 0


def adapt(training, init, paths, arguments):
    """Train on the units of own recordings, and keep the weights where they are better; return the exit code."""
    from huidurep_sorter.training.adaptation import SCORE, compare, describe_weights, write_card

    encoder = training.train(arguments.verbose, show_steps=True)
    comparison = compare(training, encoder)
    print(f"{SCORE}\n\n{comparison.write()}\n")
    if not (comparison.is_better or arguments.keep):
        print("huidurep: not better than before: no weights are written (--keep writes them)", file=sys.stderr)
        return 1
    weights = training.save(encoder)
    command = shlex.join(["huidurep", *sys.argv[1:]])
    sources = {name: str(path.absolute()) for name, path in paths.items()}
    card = write_card(training, comparison, describe_weights(init), command, sources)
    print(f"weights: {weights}, described in {card}\n{how_to_use(weights)}")
    return 0


def how_to_use(weights):
    """Say how the sorter takes weights."""
    return f"to sort with them: huidurep sort RECORDING -o OUT --weights {shlex.quote(str(weights))}"


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


def read_config(name):
    """Read a configuration by its shipped name or its file."""
    from huidurep_sorter.training.config import read_config

    try:
        return read_config(find_config(name))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UsageError(f"{name} is no YAML or JSON file of a configuration") from None


def find_recordings(arguments, config):
    """List the recordings that the command line names or, where it names none, the configuration.

    Raises
    ------
    UsageError
        If there is none, and nothing to simulate from either.
    """
    given = [*arguments.recordings, *([] if arguments.folder is None else [arguments.folder])]
    if not given and config.data.recordings is not None:
        given = [Path(config.data.recordings)]
    if not given and not config.data.footprints:
        raise UsageError(f"name the recordings to train on: huidurep pretrain {arguments.config} RECORDING ... -o OUT")
    missing = [str(path) for path in given if not path.exists()]
    if missing:
        raise UsageError(f"there is no recording {', '.join(missing)}")
    return [recording for path in given for recording in expand(path)]


def expand(path) -> list[Path]:
    """List the recordings in a folder of recordings, each as SpikeInterface saves it; else the path itself."""
    if not path.is_dir() or is_saved(path) or path.suffix == ".zarr":
        return [path]
    inside = [find for child in sorted(path.iterdir()) for find in (child / "recording", child) if is_saved(find)]
    return inside or [path]


def is_saved(path) -> bool:
    """Say whether SpikeInterface saved something in a folder."""
    return path.suffix == ".zarr" or any((path / name).is_file() for name in ("si_folder.json", "cached.json"))


def name_recordings(paths):
    """Give each recording a name of its own, from its path."""
    stems = [path.parent.name if path.name == "recording" else path.stem for path in map(Path.absolute, paths)]
    return {
        stem if stems.count(stem) == 1 else f"{stem}-{number}": path
        for number, (stem, path) in enumerate(zip(stems, paths, strict=True), start=1)
    }


def open_recording(path, arguments):
    """Read and check one recording; what is wrong is said with its path."""
    try:
        recording = read_with_options(path, arguments)
        check_recording(recording, SortingParameters())
        if path.name == "recording" and path.with_name("sorting").is_dir():
            recording.annotate(sorting=str(path.with_name("sorting")))  # for configurations that use it
    except Exception as error:  # readers raise many kinds
        text = str(error) or type(error).__name__
        raise UsageError(text if str(path) in text else f"{path}: {text}") from error
    return recording
