"""The units of deploy/systemd as data."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
INSTALLED = "/opt/kato-exporter/bin/kato-exporter"
"""The program that they start."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The settings of a unit: each with its values, in their order."""

    settings: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, name: str) -> "Unit":
        """Read one by its file's name."""
        settings: dict[str, list[str]] = {}
        for line in (UNITS / name).read_text(encoding="utf-8").splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                settings.setdefault(key, []).append(value)
        return cls(settings)

    def command(self, program: str) -> list[str]:
        """Give what is started, with another program in its place."""
        [line] = self.settings["ExecStart"]
        installed, *arguments = shlex.split(line)
        assert INSTALLED == installed
        return [program, *arguments]

    def environment(self, *, credentials: Path, state: Path) -> dict[str, str]:
        """Give the variables, with directories in place of systemd's `%d` and `%S`."""
        places = {"%d": str(credentials), "%S": str(state)}
        variables = {}
        for assignment in self.settings["Environment"]:
            name, _, value = assignment.partition("=")
            for specifier, place in places.items():
                value = value.replace(specifier, place)
            variables[name] = value
        return variables

    def load_credentials(self, sources: Mapping[str, str], directory: Path) -> None:
        """Make what systemd makes of its `LoadCredential` and `SetCredential`.

        `sources` are contents by the path that the unit names; one that is not there is what is
        set in its place. Raises KeyError where nothing is.
        """
        replacements = dict(each.split(":", 1) for each in self.settings["SetCredential"])
        directory.mkdir(mode=0o700)
        for name, path in (each.split(":", 1) for each in self.settings["LoadCredential"]):
            content = sources.get(path)
            if content is None:
                content = replacements[name].replace("\\n", "\n")
            (directory / name).write_text(content, encoding="utf-8")
