"""Images without a registry: a base with Python from Debian's packages, and stand-ins of programs.

A base stands in for `python:3.11-slim`: Debian's Python, and a pip that has the locked wheels at
hand and asks nobody, so that the Dockerfile is built as it stands and without a network. A
stand-in is an image with a program of this machine and its libraries, under the name of the image
that compose.yaml takes from a registry.
"""

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from docker import APIClient

from support.compose import ROOT
from support.servers import missing

_PACKAGES = ("base-files", "dash", "coreutils", "python3-minimal", "libpython3-stdlib")
_PYTHON = "/usr/bin/python3"
_PIP_CONFIGURATION = b"[global]\nno-index = true\nfind-links = /wheels\n"
_DIRECTORIES = ("dev", "etc", "proc", "sys", "tmp")
_CHUNK = 2**20
_SECONDS = 300
_LIBRARY = re.compile(r"(/\S+) \(0x")


def python_base(cache: Path) -> Path:
    """Make the tar of a base, or find it in the cache; skips or fails the test where it cannot."""
    requirements = ROOT / "requirements" / "run.txt"
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    ingredients = "\n".join([requirements.read_text(), suite, *_PACKAGES])
    made = cache / f"base-{hashlib.sha256(ingredients.encode()).hexdigest()[:16]}.tar"
    if not made.exists():
        with TemporaryDirectory(dir=cache) as directory:
            unfinished = Path(directory) / "base.tar"
            _run(
                *("mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(_PACKAGES)}"),
                *(suite, str(unfinished)),
            )
            _add_pip(unfinished, requirements, Path(directory) / "wheels")
            for stale in cache.glob("base-*.tar"):
                stale.unlink()
            unfinished.rename(made)
    return made


def stand_in(
    *,
    programs: Mapping[str, str],
    files: Sequence[str] = (),
    owned: Mapping[str, int],
    applets: Sequence[str] = ("sh", "wget"),
) -> bytes:
    """Pack a tar of programs, by their paths in the image, with their libraries and a busybox.

    `files` of this machine are at the same place there; `owned` are directories, each with the
    number of the user whose it is; `applets` are what the busybox serves as.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for directory, owner in {**dict.fromkeys(_DIRECTORIES, 0), **owned}.items():
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, owner, owner
            tar.addfile(entry)
        libraries = set()
        for path, program in programs.items():
            real = _program(program)
            tar.add(real, path)
            libraries |= set(_LIBRARY.findall(_run("ldd", real)))
        for file in [*sorted(libraries), *files]:
            tar.add(os.path.realpath(file), file)
        for applet in applets:
            tar.add(_program("busybox"), f"bin/{applet}")
    return packed.getvalue()


def _program(name: str) -> str:
    """Find a program of this machine, not a link to it."""
    found = shutil.which(name)
    if found is None:
        missing(f"no {name} on the PATH, to make an image of")
    return os.path.realpath(found)


def load_image(
    client: APIClient, tar: Path | bytes, name: str, changes: Sequence[str] = ()
) -> None:
    """Give an engine an image with the files of a tar; `changes` as in a Dockerfile."""
    repository, _, tag = name.partition(":")
    stream = _chunks(tar) if isinstance(tar, Path) else iter([tar])
    client.import_image_from_stream(stream, repository=repository, tag=tag, changes=list(changes))


def build_image(client: APIClient, name: str, *, base: str, target: str) -> None:
    """Build a stage of the Dockerfile upon another base; fail with the end of its output."""
    said = []
    for line in client.build(
        path=str(ROOT), tag=name, target=target, buildargs={"BASE": base}, decode=True, rm=True
    ):
        said.append(str(line.get("stream") or line.get("error") or ""))
        assert "error" not in line, "".join(said[-30:])


def _add_pip(tar: Path, requirements: Path, wheels: Path) -> None:
    """Put our pip into a base, and the wheels that Debian's Python needs of these requirements."""
    ours = Path(sysconfig.get_path("purelib"))
    _run(
        *(_PYTHON, str(ours / "pip"), "download", "--quiet", "--no-deps", "--require-hashes"),
        *("--only-binary", ":all:", "--requirement", str(requirements), "--dest", str(wheels)),
    )
    version = _run(_PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    with tarfile.open(tar, "a") as base:
        base.add(wheels, "wheels")
        for each in ours.glob("pip*"):
            base.add(each, f"usr/local/lib/python{version}/dist-packages/{each.name}")
        entry = tarfile.TarInfo("etc/pip.conf")
        entry.size = len(_PIP_CONFIGURATION)
        base.addfile(entry, io.BytesIO(_PIP_CONFIGURATION))


def _run(*command: str) -> str:
    """Run a program that makes part of an image, and give its output; missing where it cannot."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except FileNotFoundError:
        missing(f"no {command[0]} on the PATH, to make an image with")
    except subprocess.CalledProcessError as error:
        missing(f"{command[0]} cannot make part of an image: {error.stderr[-500:]}")
    return done.stdout


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
