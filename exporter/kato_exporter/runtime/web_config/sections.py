"""The file as YAML: sections whose values are checked, and complaints that say where and what."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

_T = TypeVar("_T")

_KINDS = {str: "text, in quotes", bool: "true or false", list: "a list", dict: "a mapping"}
_QUOTED_WORD = re.compile(r"'[^'<][^']+'")


class WebConfigError(ValueError):
    """The web config file cannot be used: one line with file, key, value and what is right."""


@dataclass(frozen=True, slots=True)
class Section:
    """One mapping of the file; `place` is what leads to its keys in complaints.

    Each method that gives a value raises WebConfigError where it is not of its kind.
    """

    file: Path
    place: str
    values: Mapping[Any, object] = field(repr=False)

    def error(self, key: str, problem: str) -> WebConfigError:
        """Make the complaint about a key."""
        return WebConfigError(f"{self.file}: {self.place}{key}: {problem}")

    def get(self, key: str, default: _T) -> _T:
        """Give a value of the default's type, or the default where there is none."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, type(default)):
            problem = f"is of type {type(value).__name__}; it needs {_KINDS[type(default)]}"
            raise self.error(key, problem)
        return value

    def section(self, key: str, known: Iterable[str] | None = None) -> "Section":
        """Give a mapping below this one; without `known` its keys are of the user's choice."""
        values: dict[Any, object] = self.get(key, {})
        section = Section(self.file, f"{self.place}{key}.", values)
        if known is not None:
            section.check_keys(known)
        return section

    def check_keys(self, known: Iterable[str]) -> None:
        """Refuse a key that the format does not have here."""
        for key in self.values:
            if key not in known:
                raise self.error(repr(key), f"is unknown; known are {', '.join(known)}")

    def choice(self, key: str, name: object, choices: Mapping[str, _T]) -> _T:
        """Give what a name stands for."""
        if not isinstance(name, str) or name not in choices:
            raise self.error(key, f"{name!r} is not supported; use {', '.join(choices)}")
        return choices[name]


def read_sections(path: Path) -> Section:
    """Read a file into the section that holds all others.

    Raises WebConfigError if it is no YAML; what may be a password is not in its message.
    """
    try:
        document = yaml.load(path.read_bytes(), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        problem = f"cannot be read: {error.strerror}; name a readable file"
        raise WebConfigError(f"{path}: {problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise WebConfigError(f"{path}: {_yaml_problem(error)}") from error
    if document is not None and not isinstance(document, dict):
        raise WebConfigError(f"{path}: is of type {type(document).__name__}; it needs a mapping")
    return Section(path, "", document or {})


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "is not YAML in UTF-8"
    # PyYAML puts what it stumbled over in quotes.
    problem = _QUOTED_WORD.sub("(not shown)", str(error.problem))
    return f"line {error.problem_mark.line + 1}: {problem}"


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"{json.dumps(key.value)} is given twice; keep one"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
