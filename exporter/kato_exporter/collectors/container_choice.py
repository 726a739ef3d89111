"""Which containers are ours: by patterns of names, and by labels."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Self

_LABEL = "label="
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]!-]+")


def is_container_name(text: str) -> bool:
    """Tell whether an engine would accept this as a container's name."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ContainerChoice:
    """Patterns as in a shell (`*`, `?`, `[...]`), and labels, each with its value or with any."""

    patterns: tuple[str, ...]
    labels: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a list such as `kato-*,label=com.docker.compose.project=kato`; raise ValueError."""
        entries = [entry.strip() for entry in text.split(",")]
        patterns = [entry for entry in entries if not entry.startswith(_LABEL)]
        labels = [entry.removeprefix(_LABEL) for entry in entries if entry.startswith(_LABEL)]
        if not all(_PATTERN.fullmatch(pattern) for pattern in patterns):
            raise ValueError(text)
        selectors = [label.partition("=") for label in labels]
        if not all(key for key, _, _ in selectors):
            raise ValueError(text)
        return cls(
            tuple(patterns),
            tuple((key, value if equals else None) for key, equals, value in selectors),
        )

    def __str__(self) -> str:
        labels = (
            f"{_LABEL}{key}" if value is None else f"{_LABEL}{key}={value}"
            for key, value in self.labels
        )
        return ",".join([*self.patterns, *labels])

    @property
    def plain_names(self) -> frozenset[str]:
        """The patterns that can match one name only."""
        return frozenset(pattern for pattern in self.patterns if is_container_name(pattern))

    def including(self, names: Iterable[str]) -> Self:
        """Give the choice with these names besides."""
        return replace(self, patterns=tuple(dict.fromkeys([*self.patterns, *sorted(names)])))

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a container is ours: one pattern or one label is enough."""
        return any(fnmatchcase(name, pattern) for pattern in self.patterns) or any(
            key in labels and value in (None, labels[key]) for key, value in self.labels
        )
