"""What compose.yaml promises of every container, and that Compose can read it."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from kato_exporter import __version__
from kato_exporter.settings import BrowserSettings, ExporterSettings, Settings, specs
from support.compose import FILE, ROOT, compose, load

TEXT = FILE.read_text()
CONTENT = load(TEXT)
SERVICES: dict[str, dict[str, Any]] = CONTENT["services"]
ALWAYS = {"exporter", "docker-socket-proxy", "prometheus", "alertmanager", "grafana"}
DEMO = {"mongodb", "redis", "qdrant", "workload"}
EXCUSED = {
    ("docker-socket-proxy", "user"): "must be the owner of the engine's socket",
    ("workload", "healthcheck"): "serves nothing; it ends when a store refuses, and is restarted",
}
FILES = ("a KATO beside", None), ("the demo", ROOT / "deploy" / "demo.env")
SOCKET = "/var/run/docker.sock"

each_service = pytest.mark.parametrize("name", SERVICES)


def mounts(name: str) -> list[tuple[str, str, str]]:
    """Give source, target and options of a service's volumes; a source may hold a variable."""
    fields = re.compile(r"(\$\{[^}]*\}|[^:]+):([^:]+):?(.*)")
    found = [fields.fullmatch(each) for each in SERVICES[name].get("volumes", ())]
    return [(each[1], each[2], each[3]) for each in found if each is not None]


def excused(name: str, promise: str) -> bool:
    """Tell whether a service has a reason not to keep a promise."""
    return (name, promise) in EXCUSED


@pytest.mark.parametrize("env_file", [file for _, file in FILES], ids=[name for name, _ in FILES])
def test_compose_reads_the_file(tmp_path: Path, env_file: Path | None) -> None:
    """With no settings and with the demo's; all variables have values and all keys are known."""
    found = load(compose(tmp_path, "config", env_file=env_file, profiles=["demo", "browser"]))

    assert set(SERVICES) == set(found["services"])
    assert "${" not in yaml.safe_dump(found)


def test_a_kato_beside_is_joined_and_the_demo_needs_none(tmp_path: Path) -> None:
    """KATO's network must exist; the demo makes its own and has no KATO to ask."""
    beside = load(compose(tmp_path, "config"))
    demo = load(compose(tmp_path, "config", env_file=ROOT / "deploy" / "demo.env"))

    assert {"external": True, "name": "kato_kato-network"} == beside["networks"]["kato"]
    assert {"external": False, "name": "kato-demo"} == demo["networks"]["kato"]
    assert "http://kato:8000" == beside["services"]["exporter"]["environment"]["KATO_API_URL"]
    assert "" == demo["services"]["exporter"]["environment"]["KATO_API_URL"]


def test_the_profiles() -> None:
    """Stores and workload belong to the demo only; the browser waits for its program."""
    without = {name for name, service in SERVICES.items() if "profiles" not in service}
    demo = {name for name, service in SERVICES.items() if ["demo"] == service.get("profiles")}

    assert without == ALWAYS
    assert demo == DEMO
    assert {"browser"} == set(SERVICES) - ALWAYS - DEMO
    assert ["browser"] == SERVICES["browser"]["profiles"]


@each_service
def test_the_root_is_read_only(name: str) -> None:
    """What is not a volume or a tmpfs cannot be written, files of the host least of all."""
    bound = [(source, options) for source, _, options in mounts(name) if source[0] in "./$"]

    assert SERVICES[name]["read_only"] is True
    assert len(mounts(name)) == len(SERVICES[name].get("volumes", ()))
    assert {"ro"} >= {options for _, options in bound}
    assert set(CONTENT["volumes"]) >= {
        source for source, _, _ in mounts(name) if source[0] not in "./$"
    }


@each_service
def test_nothing_is_privileged(name: str) -> None:
    """No capability, none to be gained, and no namespace of the host's."""
    service = SERVICES[name]

    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert not {"cap_add", "privileged", "network_mode", "pid", "ipc", "userns_mode"} & set(service)
    assert not {"devices", "device_cgroup_rules", "volumes_from"} & set(service)


@each_service
def test_the_user_is_a_number_and_not_root(name: str) -> None:
    """Only the proxy before the engine's socket has a reason to be root."""
    if excused(name, "user"):
        assert "${SOCKET_PROXY_USER:-0:0}" == SERVICES[name]["user"]
    else:
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", SERVICES[name]["user"])


@each_service
def test_memory_and_processes_are_limited(name: str) -> None:
    """One that runs wild takes nothing from KATO."""
    assert re.fullmatch(r"\d+[mg]|\$\{PROMETHEUS_MEMORY:-\d+g\}", str(SERVICES[name]["mem_limit"]))
    assert 0 < SERVICES[name]["pids_limit"] <= 1024


@each_service
def test_health_is_checked(name: str) -> None:
    """By a program in the container, in a bounded time."""
    if excused(name, "healthcheck"):
        assert "healthcheck" not in SERVICES[name]
    else:
        check = SERVICES[name]["healthcheck"]
        assert "CMD" == check["test"][0]
        assert {"interval", "timeout", "retries"} <= set(check)


@each_service
def test_ports_are_on_loopback(name: str) -> None:
    """Nothing is to be reached from another machine."""
    for port in SERVICES[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-(\d+)\}:\1", port)


@each_service
def test_the_image_has_a_version(name: str) -> None:
    """Down to the patch; ours has the package's."""
    image, _, tag = SERVICES[name]["image"].partition(":")

    assert re.match(r"v?\d+\.\d+\.\d+(-|$)", tag)
    if "build" in SERVICES[name]:
        assert __version__ == tag
        assert image in {"kato-exporter", "kato-exporter-demo"}


@each_service
def test_it_comes_back_and_its_log_is_bounded(name: str) -> None:
    """Restarted until it is stopped by hand; a log never fills the disk."""
    logging = SERVICES[name]["logging"]

    assert "unless-stopped" == SERVICES[name]["restart"]
    assert "json-file" == logging["driver"]
    assert {"max-size", "max-file"} == set(logging["options"])


def test_only_the_proxy_sees_the_socket_and_only_the_exporter_sees_the_proxy() -> None:
    """The network of the two has no way out."""
    seeing = {name for name in SERVICES if SOCKET in str(SERVICES[name].get("volumes"))}
    on_network = {name for name in SERVICES if "engine" in SERVICES[name]["networks"]}

    assert {"docker-socket-proxy"} == seeing
    assert {"docker-socket-proxy", "exporter"} == on_network
    assert ["engine"] == SERVICES["docker-socket-proxy"]["networks"]
    assert {"internal": True} == CONTENT["networks"]["engine"]
    assert "ports" not in SERVICES["docker-socket-proxy"]


def test_only_exporter_and_browser_see_both_stores_and_observatory() -> None:
    """Prometheus, Alertmanager and Grafana cannot reach KATO's stores."""
    both = {name for name in SERVICES if {"kato", "observatory"} <= {*SERVICES[name]["networks"]}}

    assert {"exporter", "browser"} == both


@pytest.mark.parametrize(
    ("name", "settings"), [("exporter", ExporterSettings), ("browser", BrowserSettings)]
)
def test_secrets_are_files_and_settings_exist(name: str, settings: type[Settings]) -> None:
    """No address with a password is in the environment, where `docker inspect` would show it."""
    given = set(SERVICES[name]["environment"])
    secret = {spec.variable for spec in specs(settings) if spec.secret}
    known = {spec.variable for spec in specs(settings)} | {f"{each}_FILE" for each in secret}

    assert set() == given - known
    assert set() == given & secret
    assert {f"{each}_FILE" for each in secret} <= given
    for each in secret:
        file = SERVICES[name]["environment"][f"{each}_FILE"]
        assert Path(file).name in SERVICES[name]["secrets"]


def test_alertmanager_has_the_secrets_that_its_configuration_names() -> None:
    """Also those in lines that are to be enabled."""
    configuration = (ROOT / "alertmanager" / "alertmanager.yml").read_text()
    named = set(re.findall(r"/run/secrets/(\w+)", configuration))

    assert set(SERVICES["alertmanager"]["secrets"]) == named


def test_every_secret_has_a_default_that_is_none() -> None:
    """The stack starts without a secret: the files in the repository hold no password."""
    for secret in CONTENT["secrets"].values():
        default = re.fullmatch(r"\$\{[A-Z_]+_FILE:-\./(deploy/defaults/\w+)\}", secret["file"])
        assert default is not None
        held = (ROOT / default[1]).read_text().strip()
        assert "" == held or urlsplit(held).username is urlsplit(held).password is None


def test_every_variable_is_explained_with_its_default() -> None:
    """.env.example and compose.yaml name the same variables, and the same defaults."""
    with_default = dict(re.findall(r"\$\{([A-Z_]+):?-([^}]*)\}", TEXT))
    passed_on = {
        key
        for service in SERVICES.values()
        for key, value in service.get("environment", {}).items()
        if value is None
    }
    explained = dict(
        re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )

    assert with_default | {name: explained[name] for name in passed_on} == explained


def test_the_demo_sets_variables_that_exist() -> None:
    """A misspelt one would do nothing."""
    lines = (ROOT / "deploy" / "demo.env").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines if not line.startswith("#")}
    explained = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert names
    assert names <= explained


def test_the_base_image_is_the_same_everywhere() -> None:
    """The Dockerfile alone builds what Compose builds."""
    [base] = re.findall(r"^ARG BASE=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert [f"${{BASE_IMAGE:-{base}}}"] * 2 == [
        service["build"]["args"]["BASE"] for service in SERVICES.values() if "build" in service
    ]


def test_kubernetes_runs_it_as_compose_does() -> None:
    """Same image, user, settings and limits."""
    text = (ROOT / "deploy" / "kubernetes" / "exporter.yaml").read_text()
    deployment, service = yaml.safe_load_all(text)
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    variables = {spec.variable for spec in specs(ExporterSettings)}
    known = variables | {f"{variable}_FILE" for variable in variables}

    assert SERVICES["exporter"]["image"] == container["image"]
    assert SERVICES["exporter"]["user"] == "{runAsUser}:{runAsGroup}".format(
        **pod["securityContext"]
    )
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert known >= {each["name"] for each in container["env"]}
    assert "512Mi" == container["resources"]["limits"]["memory"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
