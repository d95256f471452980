"""The `huidurep` command.

Exit codes: 0 done; 1 the sorting failed; 2 the command line, the parameters or the recording can't be used;
130 interrupted. Errors are one line on stderr; `--traceback` (and `--debug`) show where it came from.

A subcommand is a module with one function, `add_command(subparsers)`, which adds a parser and sets its `run`.
"""

import argparse
import re
import sys
import warnings
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from huidurep_sorter.__about__ import __version__
from huidurep_sorter.parameters import SortingParameters

COMMANDS = ("demo", "sort", "report", "track", "pretrain", "pretrain_decisions", "benchmark")
EXIT_CODES = "0 done; 1 the sorting failed; 2 bad command line, parameters or recording; 130 interrupted"


class UsageError(Exception):
    """What the user gave can't be used: exit code 2."""


@contextmanager
def bad_usage():
    """Raise what stops us before any work as UsageError: it is of what the user gave."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # readers raise many kinds
        raise UsageError(str(error) or type(error).__name__) from error


def is_taken(folder):
    """Say whether something is where a folder is to be made; an empty folder is not."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        for old, new in SortingParameters.renamed.items():
            option = old.replace("_", "-")
            message = re.sub(rf"--(no-)?{option}\b", rf"\g<0> (called --{new.replace('_', '-')} now)", message)
        for old, new in SortingParameters.replaced.items():
            option = old.replace("_", "-")
            message = re.sub(rf"--{option}\b", rf"\g<0> (use --{new.replace('_', '-')}, of another meaning)", message)
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help, or --help of a command)\n")

    def parse_known_args(self, args=None, namespace=None):
        """Take recordings from wherever they stand: argparse takes a list of words only from one place."""
        namespace, left = super().parse_known_args(args, namespace)
        recordings = getattr(namespace, "recordings", None)
        if isinstance(recordings, list):
            recordings += [Path(word) for word in left if not word.startswith("-")]
            left = [word for word in left if word.startswith("-")]
        return namespace, left


def build_parser():
    """Build the parser of `huidurep` with all its subcommands."""
    parser = Parser(prog="huidurep", description="HuiduRep spike sorter.", epilog="exit codes: " + EXIT_CODES)
    parser.add_argument("--version", action="version", version=f"huidurep-sorter {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"huidurep_sorter.cli.{name}").add_command(subparsers)
    for subparser in subparsers.choices.values():
        subparser.add_argument("--traceback", action="store_true", help="show tracebacks of errors")
    return parser


def main(argv=None):
    """Run the command line, and return the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            if not getattr(arguments, "verbose", False):
                warnings.simplefilter("ignore")  # those of our dependencies; ours go to the log
            return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print("huidurep: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if arguments.traceback or getattr(arguments, "parameter:debug", False):
            raise
        print(f"huidurep: error: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def one_line(error):
    """Give the message of an error on one line; of SpikeInterface's sorting error the line that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Spike sorting error trace"):
        lines = [line for line in lines if not line.startswith("Spike sorting failed")][-1:]
    return " ".join(lines) or type(error).__name__
