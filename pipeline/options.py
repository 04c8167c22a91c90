"""Options: each defined once as a dataclass field, for the command line, YAML files and Python."""

import argparse
import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

from pipeline.errors import ConfigError

T = TypeVar("T")
MOST_CONFIG_BYTES = 1 << 20
MOST_DEPTH = 8
MOST_SHOWN = 60


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    parse: Callable[[str], Any] | None = None,
    metavar: str | None = None,
    least: float | None = None,
    most: float | None = None,
    heading: str | None = None,
) -> Any:
    """A dataclass field that is also a command-line option and a YAML key.

    `parse` turns its text into its value; `least` and `most` are the numbers allowed. `heading`
    stands in the help before this option and those that follow it.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "parse": parse,
        "metavar": metavar,
        "least": least,
        "most": most,
        "heading": heading,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Parser(argparse.ArgumentParser):
    """An argparse parser that names the nearest option when one is unknown."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flags = [f for action in self._actions for f in action.option_strings]
            self.error(f"unknown option {unknown[0]}{nearest(unknown[0].split('=')[0], flags)}")
        return known

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see --help)")


def nearest(word: str, known: Sequence[str]) -> str:
    """' (did you mean X?)' for the most similar known word, or nothing."""
    found = difflib.get_close_matches(word, known, 1, 0.5)
    return f" (did you mean {found[0]}?)" if found else ""


def add_options(parser: argparse.ArgumentParser, schema: type) -> None:
    """An option for each field of the dataclass; what the user leaves out is left out."""
    group: Any = parser
    for field in dataclasses.fields(schema):
        kind, many = _kind(schema, field)
        if heading := field.metadata.get("heading"):
            group = parser.add_argument_group(heading)
        if kind is dict:
            continue  # tables are for config files
        about: dict[str, Any] = {"help": _help(field), "default": argparse.SUPPRESS}
        name = "--" + field.name.replace("_", "-")
        if kind is bool:
            action = "store_true" if field.default is False else argparse.BooleanOptionalAction
            group.add_argument(name, action=action, **about)
            continue
        about["metavar"] = field.metadata.get("metavar")
        if many:
            about |= {"action": "append", "nargs": "+"}
        group.add_argument(name, **about)


def build(schema: type[T], *sources: dict[str, Any]) -> T:
    """The dataclass from dictionaries, later ones over earlier; every value checked."""
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, schema))}
    values: dict[str, Any] = {}
    for source in sources:
        for key, value in source.items():
            name = key.replace("-", "_")
            if name not in fields:
                raise ConfigError(
                    f"unknown option '{key[:MOST_SHOWN]}'{nearest(name, list(fields))}"
                )
            values[name] = _value(schema, fields[name], value)
    return schema(**values)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a dictionary; ConfigError when it cannot be one."""
    try:
        # "-" is what comes in, where others must not see it
        with open(0, "rb", closefd=False) if path == Path("-") else path.open("rb") as file:
            text = file.read(MOST_CONFIG_BYTES + 1).decode()
        check_yaml(text)
        values = yaml.load(text, Decimal)
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values or {}, dict):
        raise ConfigError(f"{path} must hold 'option: value' lines")
    return {str(k): v for k, v in (values or {}).items()}


class Decimal(yaml.SafeLoader):
    """YAML 1.1 whose numbers are decimal: 1:10 and 0720 are words, as on a command line."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as in its base
        first: [(tag, form) for tag, form in known if not tag.endswith((":int", ":float"))]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Decimal.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789")
)
Decimal.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9_]+)([eE][-+][0-9]+)?$"),
    list("-+.0123456789"),
)


def check_yaml(text: str) -> None:
    """ValueError for what no config needs and what makes a small file fill the memory."""
    if len(text) > MOST_CONFIG_BYTES:
        raise ValueError("it is too long for a config")
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > MOST_DEPTH:
            raise ValueError("it has an alias, or is nested too deeply, for a config")


def _kind(schema: type, field: Any) -> tuple[type, bool]:
    """Type of the field without `None`, and whether it is a list."""
    hint = typing.get_type_hints(schema)[field.name]
    if isinstance(hint, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    if typing.get_origin(hint) is list:
        return typing.get_args(hint)[0], True
    return typing.get_origin(hint) or hint, False


def _help(field: Any) -> str:
    text = field.metadata["help"]
    if field.metadata["choices"]:
        text += f"; one of {', '.join(field.metadata['choices'])}"
    if isinstance(field.default, (str, int, float)) and not isinstance(field.default, bool):
        text += f" (default: {field.default})"
    return str(text.replace("%", "%%"))


def _value(schema: type, field: Any, value: Any) -> Any:
    kind, many = _kind(schema, field)
    if value is None:
        if not many and not isinstance(typing.get_type_hints(schema)[field.name], types.UnionType):
            raise ConfigError(f"--{field.name.replace('_', '-')} needs a value")
        return [] if many else None
    if many:
        flat = [v for item in _listed(value) for v in _listed(item)]
        # What is parsed may be several values: `a,b`.
        return [one for v in flat for one in _listed(_one(field, kind, v))]
    return _one(field, kind, value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _one(field: Any, kind: type, value: Any) -> Any:
    name, about = field.name.replace("_", "-"), field.metadata
    try:
        if isinstance(value, (list, dict, set, bytes)) and kind is not dict:
            raise ValueError("one value is wanted")
        if isinstance(value, bool) and kind is not bool:
            raise ValueError("true and false mean nothing here")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("it holds a zero byte")
        if about.get("parse"):
            value = about["parse"](str(value))
        elif kind is bool:
            if not isinstance(value, bool):
                raise ValueError("must be true or false")
        elif kind is dict:
            value = dict(value)
        elif kind is int and isinstance(value, float):
            raise ValueError("not a whole number")
        else:
            value = kind(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        wanted = str(error)
        if wanted.startswith(("invalid literal", "could not convert", "Invalid literal")):
            wanted = f"not a {'whole number' if kind is int else 'number'}"
        shown = str(value)[:MOST_SHOWN]
        raise ConfigError(f"--{name}: '{shown}' is not valid: {wanted}") from error
    if about.get("choices") and value not in about["choices"]:
        near = nearest(str(value), about["choices"])
        raise ConfigError(
            f"--{name}: '{str(value)[:MOST_SHOWN]}' is none of {', '.join(about['choices'])}{near}"
        )
    if isinstance(value, float) and not isfinite(value):
        raise ConfigError(f"--{name}: {value} is no number")
    if about.get("least") is not None and value < about["least"]:
        raise ConfigError(f"--{name}: {str(value)[:MOST_SHOWN]} is below {about['least']}")
    if about.get("most") is not None and value > about["most"]:
        raise ConfigError(f"--{name}: {str(value)[:MOST_SHOWN]} is above {about['most']}")
    return value
