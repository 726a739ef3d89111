"""Every code block of the pages says its kind, and is what it says.

Shell is typed by test_commands.py.
"""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import httpx
import pytest
import yaml

from kato_exporter.settings import COMMANDS, Spec, specs
from support.alert_rules import TARGET_LABELS, Expression, exported_series, rules
from support.chromium import chromium
from support.documents import PAGES, ROOT, Block, blocks, blocks_of, commands
from support.reader_machine import ReaderMachine
from support.servers import missing

FAULTS, INTEGRATION = ROOT / "tests" / "faults", ROOT / "tests" / "integration"
TRIED_IN = {
    "acl": [FAULTS / "test_redis_account.py", INTEGRATION / "test_redis_records.py"],
    "javascript": [
        FAULTS / "test_mongodb_account.py",
        FAULTS / "test_browser_mongodb_account.py",
    ],
}
"""Where each account is given to a real server, and what it may and may not is tried."""

NOT_CHECKED = {
    "text": "is what a program prints, not what a reader types",
    "nginx": "there is no nginx here",
}
KINDS = {
    *("sh", "console", "yaml", "json", "toml", "ini", "promql", "redis"),
    *TRIED_IN,
    *NOT_CHECKED,
}
OTHERS_VARIABLES = ("GF_", "QDRANT__", "SSL_CERT_FILE")
"""Variables that Grafana, Qdrant and OpenSSL read."""

OTHERS_METRICS = ("prometheus_", "scrape_", "process_", "ALERTS", "up", "__name__")
"""Series that Prometheus makes, or every Go program; and what chooses them by name."""

EXPORTED = exported_series()
RECORDED = {rule.name for rule in rules()}

CONTINUES = re.compile(r"^(\s|[-+*/><=]|on |and |or |unless |by |[)}])")
README_QUERY = re.compile(r"^\|[^|]+\| (`.+`) \|$", re.MULTILINE)


def all_of(*kinds: str) -> pytest.MarkDecorator:
    """Run a test for each block of these kinds."""
    return pytest.mark.parametrize("block", blocks_of(*kinds), ids=str)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_its_kind(page: Path) -> None:
    """So that a reader's editor colours it, and a test reads it."""
    assert [] == [f"{each} {each.kind!r}" for each in blocks(page) if each.kind not in KINDS]


@all_of("yaml")
def test_yaml_is_yaml(block: Block, tmp_path: Path) -> None:
    """And for Prometheus where it is a whole configuration of scrapes."""
    content = yaml.safe_load(block.text)

    assert content
    if "scrape_configs" in content:
        program = shutil.which("promtool")
        if program is None:
            missing("no promtool on the PATH")
        file = tmp_path / "prometheus.yml"
        file.write_text(block.text)
        ran = subprocess.run(
            [program, "check", "config", "--syntax-only", str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert 0 == ran.returncode, ran.stdout + ran.stderr


@all_of("json", "toml")
def test_json_and_toml_are_that(block: Block) -> None:
    """Each reader takes it."""
    assert json.loads(block.text) if "json" == block.kind else tomllib.loads(block.text)


@all_of("ini")
def test_variables_are_settings_with_values_that_are_taken(block: Block) -> None:
    """A misspelt name or a wrong value would end the start."""
    known = {spec.variable: spec for settings in COMMANDS for spec in specs(settings)}
    for line in block.text.splitlines():
        name, _, value = line.partition("=")
        spec = known.get(name) or known.get(name.removesuffix("_FILE"))
        if not name.startswith(OTHERS_VARIABLES):
            assert isinstance(spec, Spec), name
            if spec.variable == name and not isinstance(spec.kind, click.Path):
                assert spec.kind.convert(value, None, None)


@all_of("promql")
def test_queries_are_promql_on_series_that_there_are(machine: ReaderMachine, block: Block) -> None:
    """Prometheus answers each, and each metric and label is ours, recorded, or its own."""
    for query in queries(block.text):
        ask(machine, query)


def test_the_questions_of_the_readme_are_promql(machine: ReaderMachine) -> None:
    """Those of its table."""
    cells = README_QUERY.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    found = [query for cell in cells for query in re.findall(r"`([^`]+)`", cell)]

    assert len(found) > 1
    for query in found:
        ask(machine, query)


@all_of("redis")
def test_redis_takes_the_commands(machine: ReaderMachine, block: Block) -> None:
    """A real one."""
    machine.ask_redis(block.text)


@all_of("acl", "javascript")
def test_an_account_is_tried_on_a_real_server(block: Block) -> None:
    """By its name, in the test that reads it out of the page."""
    texts = "".join(file.read_text(encoding="utf-8") for file in TRIED_IN[block.kind])
    whose, _, account = block.name.rpartition("browser-")

    assert re.search(rf"[\"']{block.name}[\"']", texts) or (
        whose == "" and f"{block.kind} browser-{{" in texts and f'"{account}"' in texts
    )


def test_javascript_is_javascript() -> None:
    """That of the pages, and what shell commands hand to a MongoDB shell. It is not run."""
    scripts = [block.text for block in blocks_of("javascript")] + [
        script
        for each in commands()
        if re.search(r"\bmongo(sh)? ", each.text)
        for script in re.findall(r"--eval '(.+?)'|<<'EOF'\n(.+)\nEOF", each.text, re.DOTALL)
        for script in script
        if script
    ]

    def parse_all() -> int:
        with chromium() as browser:
            page = browser.new_page()
            for script in scripts:
                page.evaluate("script => { new Function(script) }", script)
        return len(scripts)

    with ThreadPoolExecutor(1) as apart:  # a thread has one Playwright, which others may have left
        assert apart.submit(parse_all).result()


def test_targets_of_make_are_there() -> None:
    """Each that a page names, in a block or in a sentence."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(" ".join(re.findall(r"(?m)^([a-z][a-z -]*):", makefile)).split())
    named = {
        target
        for text in (
            *(page.read_text("utf-8") for page in PAGES),
            *(f"`{c.text}" for c in commands()),
        )
        for target in re.findall(r"`make ([a-z-]+)", text)
    }

    assert {"demo", "test"} <= named
    assert named <= targets


def queries(text: str) -> Iterator[str]:
    """Give the queries of a block: one a line, unless a line goes on with an operator."""
    found: list[str] = []
    for line in text.splitlines():
        if found and CONTINUES.match(line):
            found[-1] += f" {line}"
        else:
            found.append(line)
    return iter(found)


def ask(machine: ReaderMachine, query: str) -> None:
    """Ask Prometheus, which refuses what is no PromQL, and look at names and labels."""
    answer = httpx.get(
        f"{machine.prometheus_url}/api/v1/query", params={"query": query}, trust_env=False
    )

    assert httpx.codes.OK == answer.status_code, f"{query}: {answer.text}"
    for selector in Expression.parse(query.partition(" #")[0]).selectors:
        metric = selector.metric
        if metric in RECORDED or metric.startswith(OTHERS_METRICS):
            continue
        assert metric in EXPORTED, f"{query}: there is no {metric}"
        unknown = selector.matchers.keys() - TARGET_LABELS - EXPORTED[metric]
        assert not unknown, f"{query}: {metric} has no label {unknown}"
