"""`huidurep sort PATH -o OUT`: sort a recording without writing Python."""

import argparse
import shutil
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import yaml
from spikeinterface.sorters import run_sorter

from huidurep_sorter.cli.main import EXIT_CODES, UsageError, bad_usage, is_taken
from huidurep_sorter.cli.options import add_reading_options, read_with_options
from huidurep_sorter.cli.phy import check_export, export_phy
from huidurep_sorter.parameter_fields import by_stage, kinds_of, say_allowed
from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.progress import show_progress
from huidurep_sorter.sorter import HuidurepSorter, split_params
from huidurep_sorter.traces.checks import check_recording


class HelpOnParameters(argparse.HelpFormatter):
    """Adds to the help of a parameter what it takes, and its default.

    It does so when help is shown, not when options are made: names of methods come from modules that load PyTorch.
    """

    def _get_help_string(self, action):
        item = getattr(action, "parameter", None)
        if item is None:
            return action.help
        takes = "" if bool in kinds_of(item) and isinstance(item.default, bool) else f"; {say_allowed(item)}"
        return f"{action.help}{takes} (default: {item.default})".replace("%", "%%")


def add_command(subparsers):
    """Add `sort`, with an option for every parameter of the sorter."""
    parser = subparsers.add_parser(
        "sort",
        help="sort a recording",
        description="Sort a recording.",
        epilog="exit codes: " + EXIT_CODES,
        formatter_class=HelpOnParameters,
    )
    parser.add_argument("path", type=Path, help="recording: a file or a folder")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier output in that folder")
    parser.add_argument("--params", type=Path, help="YAML or JSON file of parameters; options override it")
    parser.add_argument("--export-phy", action="store_true", help="also write OUT/phy, with a copy of the traces")
    parser.add_argument("--analyzer", action="store_true", help="also write OUT/analyzer, a SortingAnalyzer")
    parser.add_argument("--n-jobs", type=int, help="processes (default: 1)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log and all progress bars on stderr")
    add_reading_options(parser)
    for stage, items in by_stage(SortingParameters).items():
        group = parser.add_argument_group(f"parameters: {stage}")
        for item in items:
            add_parameter_option(group, item)
    parser.set_defaults(run=run)


def add_parameter_option(group, item):
    """Add the option of a sorter parameter; one that isn't given is absent from the result."""
    kinds = kinds_of(item)
    if kinds == (bool,):
        options = dict(action=argparse.BooleanOptionalAction)
    elif kinds in ((int,), (float,)):
        options = dict(type=kinds[0], metavar="NUMBER")
    else:
        options = dict(type=partial(read_value, kinds), metavar="VALUE")
    text = item.metadata["about"].text
    name = "--" + item.name.replace("_", "-")
    action = group.add_argument(
        name, dest=f"parameter:{item.name}", default=argparse.SUPPRESS, help=text.replace("%", "%%"), **options
    )
    action.help, action.parameter = text, item


def read_value(kinds, text):
    """Read a value as YAML where that gives a type that the parameter takes, else as the text that it is."""
    if text.lower() == "none":  # as Python and our help write it
        text = "null"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if type(value) in kinds else text


def run(arguments):
    """Sort, and return the exit code."""
    check_output(arguments.output, arguments.overwrite, arguments.path)
    with bad_usage():
        params = HuidurepSorter.default_params() | gather_parameters(arguments)
        recording = read_with_options(arguments.path, arguments)
        HuidurepSorter._check_params(recording, None, params)
        check_recording(recording, split_params(params)[0])
    if arguments.export_phy:
        check_export(recording)
    is_quiet_terminal = sys.stderr.isatty() and not arguments.verbose
    with show_progress(rewrites=True) if is_quiet_terminal else nullcontext():
        sorting = run_sorter(
            "huidurep",
            recording,
            folder=arguments.output,
            remove_existing_folder=True,
            verbose=arguments.verbose,
            **params,
        )
    if arguments.export_phy:
        export_phy(sorting, recording, arguments.output / "phy", params, verbose=arguments.verbose)
    if arguments.analyzer:
        save_analyzer(sorting, recording, arguments.output / "analyzer", params)
    print(f"{len(sorting.unit_ids)} units, {sorting.to_spike_vector().size} spikes: {arguments.output}")
    return 0


def save_analyzer(sorting, recording, folder, params):
    """Save an analyzer of the sorting; nothing where there is no unit."""
    from huidurep_sorter.analyzer import make_analyzer

    if len(sorting.unit_ids) == 0:
        print("no unit: no analyzer to make")
        return
    try:
        make_analyzer(sorting, recording, folder, split_params(params)[1])
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise RuntimeError(f"the sorting is done, in {folder.parent}, but not its analyzer: {error}") from error


def check_output(output, overwrite, source):
    """Refuse to remove what isn't an earlier output of ours, or what we are about to read."""
    if not is_taken(output):
        return
    if not overwrite:
        raise UsageError(f"{output} exists: give --overwrite or another folder")
    if output.resolve() in (source.resolve(), *source.resolve().parents):
        raise UsageError(f"{output} holds the recording to sort: give another folder")
    if not (output / "spikeinterface_params.json").is_file():
        raise UsageError(f"{output} isn't the output of a sorter: it is left alone")


def gather_parameters(arguments):
    """Take parameters from the file, and over them those of the command line."""
    params = read_parameters(arguments.params) if arguments.params else {}
    given = {k.removeprefix("parameter:"): v for k, v in vars(arguments).items() if k.startswith("parameter:")}
    try:
        SortingParameters.refuse_unknown(set(params) - {"job_kwargs"})
    except ValueError as error:
        raise ValueError(f"{arguments.params}: {error}") from None
    params = params | given
    if arguments.n_jobs is not None:
        params["job_kwargs"] = dict(params.get("job_kwargs") or {}, n_jobs=arguments.n_jobs)
    return params


def read_parameters(path):
    """Read a dict from a YAML or JSON file (JSON is YAML)."""
    try:
        params = yaml.safe_load(path.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"can't read the parameters in {path}: {error}") from None
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise ValueError(f"{path} must hold names and values of parameters")
    return params
