"""What a field of a table of parameters holds, and what is done with it: check a value, say what is allowed."""

import re
import reprlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from importlib import import_module
from types import NoneType
from typing import ClassVar, get_args

import numpy as np


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a parameter beside the name, the type and the default of its field."""

    stage: str
    text: str
    change: str  # when to change it
    unit: str = ""
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: str | tuple | None = None  # "module:NAME" is a dict, imported only when it is needed
    pattern: str | None = None  # of a text
    measure: Callable | None = None  # function that gives the number to which the bounds apply
    form: str | None = None  # says what is allowed, where the other fields can't

    def choose(self) -> tuple:
        """Give the allowed choices, of which a registry may load PyTorch."""
        if not isinstance(self.choices, str):
            return self.choices or ()
        module, name = self.choices.split(":")
        return tuple(getattr(import_module(f"huidurep_sorter.{module}"), name))

    def is_within(self, number) -> bool:
        """Tell whether a number is within the bounds, which NaN never is."""
        return (
            (self.above is None or number > self.above)
            and (self.at_least is None or number >= self.at_least)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )

    def bounds(self) -> str:
        """Say the bounds in words."""
        words = {"above": self.above, "of at least": self.at_least, "at most": self.at_most, "below": self.below}
        return " and ".join(f"{word} {bound:.10g}" for word, bound in words.items() if bound is not None)


def parameter(default, **about):
    """Make the field of a parameter, with its default and what `About` holds."""
    return field(default=default, metadata={"about": About(**about)})


def kinds_of(item) -> tuple:
    """Give the types that a field allows."""
    return get_args(item.type) or (item.type,)


def make_plain(value, kinds):
    """Turn NumPy's scalars into Python's, and a number into the one kind of number that is allowed."""
    if isinstance(value, np.generic):
        value = value.item()
    if float not in kinds and int in kinds and isinstance(value, float) and value.is_integer():
        return int(value)
    if int not in kinds and float in kinds and type(value) is int:
        with suppress(OverflowError):  # too large a number stays what it is, and is refused by its bounds
            return float(value)
    return value


def is_allowed(item, value) -> bool:
    """Tell whether a field takes a plain value."""
    about, kinds = item.metadata["about"], kinds_of(item)
    if value is None or isinstance(value, bool):  # to Python a bool is an int
        return type(value) in kinds and (about.choices is None or value is None or value in about.choose())
    if not isinstance(value, kinds):
        return False
    if about.choices is not None:
        return value in about.choose()
    if about.measure is not None:
        try:
            return about.is_within(about.measure(value))
        except Exception:  # SpikeInterface's parsers raise many kinds for what they can't read
            return False
    if isinstance(value, str):
        return about.pattern is None or re.fullmatch(about.pattern, value) is not None
    return about.is_within(value) if isinstance(value, (int, float)) else True


def say_allowed(item) -> str:
    """Say in words what a field takes, with its unit."""
    about, kinds = item.metadata["about"], kinds_of(item)
    if about.form is not None:
        words = about.form
    elif about.choices is not None:
        words = "one of " + ", ".join(repr(choice) for choice in about.choose())
    elif bool in kinds:
        words = "True or False"
    else:
        words = f"a {'number' if float in kinds else 'whole number'} {about.bounds()}"
    return words + (f" ({about.unit})" if about.unit else "") + (", or None" if NoneType in kinds else "")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Base of tables of parameters: dataclasses whose fields say what is allowed."""

    renamed: ClassVar[dict] = {}  # old name to new
    replaced: ClassVar[dict] = {}  # old name to the one that decides in its place, with another meaning

    def __post_init__(self):
        for item in fields(self):
            object.__setattr__(self, item.name, make_plain(getattr(self, item.name), kinds_of(item)))

    @classmethod
    def defaults(cls) -> dict:
        """Give the default of each parameter."""
        return {item.name: item.default for item in fields(cls)}

    @classmethod
    def descriptions(cls) -> dict:
        """Say in one line what each parameter is and what it takes."""
        return {item.name: f"{item.metadata['about'].text}; {say_allowed(item)}" for item in fields(cls)}

    @classmethod
    def refuse_unknown(cls, names):
        """Raise ValueError for a name that is none of a parameter."""
        unknown = sorted(set(names) - set(cls.defaults()), key=str)
        if unknown and unknown[0] in cls.renamed:
            raise ValueError(f"unknown parameter {unknown[0]!r}: it is called {cls.renamed[unknown[0]]!r} now")
        if unknown and unknown[0] in cls.replaced:
            raise ValueError(
                f"{unknown[0]!r} is no parameter any more: {cls.replaced[unknown[0]]!r} decides in its place"
            )
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r}; the parameters are {', '.join(cls.defaults())}")

    @classmethod
    def from_dict(cls, parameters: dict):
        """Build from a dict and check.

        Parameters
        ----------
        parameters : dict
            Values by name; what isn't named has its default.

        Raises
        ------
        ValueError
            If a name is unknown or a value isn't allowed.
        """
        cls.refuse_unknown(parameters)
        built = cls(**parameters)
        built.check()
        return built

    def check(self):
        """Raise ValueError, naming the parameter, for a value that isn't allowed."""
        for item in fields(self):
            value = getattr(self, item.name)
            if not is_allowed(item, value):
                raise ValueError(f"{item.name} must be {say_allowed(item)}, not {reprlib.repr(value)}")
        self.check_together()

    def check_together(self):
        """Raise ValueError for values that are allowed, but not together."""


def by_stage(*tables) -> dict:
    """Group the fields of tables by their stage, in order."""
    stages: dict[str, list] = {}
    for item in (item for table in tables for item in fields(table)):
        stages.setdefault(item.metadata["about"].stage, []).append(item)
    return stages


def as_entry(item) -> str:
    """Describe a parameter in a line of Markdown."""
    about = item.metadata["about"]
    unit = f" {about.unit}" if about.unit else ""
    return (
        f"- **`{item.name}`** (default `{item.default!r}`{unit}): {about.text}. Takes {say_allowed(item)}. "
        f"*When to change it:* {about.change}"
    )
