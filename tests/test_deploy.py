"""What is shipped to run the agent: wheel, image, compose file, systemd unit.

There is no container engine where the tests run, so image and compose file are held to rules, part by part.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

from config import load_and_compile
from edge_agent.cli import app
from tests.services.process import ServerProcess, free_port, listens, require, running

ROOT = Path(__file__).parent.parent
ROOMS = ("edge_agent", "connectors", "kpi", "config", "grafana")


def run(*argv: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=120, check=False, **more)


# --- the wheel -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        ROOT,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("edge_agent-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; the dependencies are those of the one that runs the tests."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    assert run(sys.executable, "-m", "venv", "--without-pip", home).returncode == 0
    python = home / "bin" / "python"
    put = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    assert put.returncode == 0, put.stderr
    (packages,) = home.glob("lib/python*/site-packages")
    (dependencies,) = {Path(p) for p in sys.path if Path(p).name == "site-packages" and Path(p, "polars").is_dir()}
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")  # after the wheel's own packages
    return home


def test_the_wheel_has_every_room_its_types_and_the_examples(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for room in ROOMS:
        assert {f"{room}/__init__.py", f"{room}/py.typed"} <= names
    examples = {f"config/examples/{path.name}" for path in (ROOT / "config/examples").glob("*.yaml")}
    assert len(examples) >= 2
    assert examples <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "deploy/"))]


def test_the_installed_wheel_is_what_runs(installed: Path) -> None:
    found = run(installed / "bin/python", "-c", "import kpi; print(kpi.__file__)", cwd=installed)
    assert str(installed) in found.stdout, found.stderr


def test_an_installed_wheel_shows_its_commands(installed: Path) -> None:
    shown = run(installed / "bin/edge-agent", "--help", cwd=installed)
    assert shown.returncode == 0, shown.stderr
    for command in ("run", "validate", "demo", "status", "grafana"):
        assert command in shown.stdout


# --- the image -----------------------------------------------------------------------------------------------------


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, rest) of a Dockerfile, with continued lines joined and comments left out."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    joined = text.replace("\\\n", " ")
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


@pytest.fixture(scope="module")
def stages() -> list[list[tuple[str, str]]]:
    cut: list[list[tuple[str, str]]] = []
    for instruction in instructions(ROOT / "Dockerfile"):
        if instruction[0] == "FROM":
            cut.append([])
        if cut:
            cut[-1].append(instruction)
    return cut


def test_the_image_is_built_in_one_stage_and_runs_in_another(stages: list[list[tuple[str, str]]]) -> None:
    build, final = stages
    assert "slim" in dict(instructions(ROOT / "Dockerfile"))["ARG"]
    assert any("pip wheel" in rest for word, rest in build if word == "RUN")
    for word, rest in final:
        assert not (word == "RUN" and re.search(r"pip (install|wheel)|apt-get|gcc|build-essential", rest)), rest
    assert any("pip uninstall" in rest for word, rest in final if word == "RUN")
    assert [rest for word, rest in final if word == "COPY"] == ["--from=build /opt/edge-agent /opt/edge-agent"]


def test_the_image_runs_without_rights_and_hands_signals_to_the_agent(stages: list[list[tuple[str, str]]]) -> None:
    final = dict(stages[-1])
    assert final["USER"] not in ("", "root", "0")
    assert json.loads(final["ENTRYPOINT"]) == ["edge-agent"]
    assert json.loads(final["CMD"]) == ["run", "/etc/edge-agent/plant.yaml"]
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert final["VOLUME"] == final["WORKDIR"] == "/var/lib/edge-agent"


def test_the_image_tells_whether_it_is_well(stages: list[list[tuple[str, str]]]) -> None:
    check = dict(stages[-1])["HEALTHCHECK"]
    assert json.loads(check.split("CMD", 1)[1])[:2] == ["edge-agent", "status"]


def test_the_image_gets_every_package_and_nothing_else() -> None:
    copied = [
        rest.split() for word, rest in instructions(ROOT / "Dockerfile") if word == "COPY" and "--from" not in rest
    ]
    sources = {source for words in copied for source in words[:-1]}
    assert sources == {*ROOMS, "pyproject.toml", "README.md", "LICENSE"}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == sources
    assert all((ROOT / source).exists() for source in sources)


def options_of(command: str) -> set[str]:
    """The options of a command of the agent."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return {option for parameter in commands[command].params for option in parameter.opts}


def test_what_a_healthcheck_calls_is_a_command_of_the_agent(stages: list[list[tuple[str, str]]]) -> None:
    words = json.loads(dict(stages[-1])["HEALTHCHECK"].split("CMD", 1)[1])
    assert set(words[3:]) <= options_of(words[1])


# --- compose -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = YAML(typ="safe").load(ROOT / "compose.yaml")
    return parsed


def test_compose_starts_the_whole_chain(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"mosquitto", "plant", "agent", "influxdb", "boards", "grafana"}


def test_every_service_has_a_healthcheck_restarts_and_a_fixed_image(compose: dict[str, Any]) -> None:
    services = compose["services"]
    once = {name for name, service in services.items() if service["restart"] == "no"}
    assert once == {"boards"}
    for name, service in services.items():
        assert name in once or service["restart"] == "unless-stopped", name
        assert name in once or service["healthcheck"]["test"], name
        assert ":" in service["image"], name
        assert not service["image"].endswith(":latest"), name
        for dependency, how in service.get("depends_on", {}).items():
            ended = dependency in once
            assert how["condition"] == ("service_completed_successfully" if ended else "service_healthy")


def test_nothing_is_opened_beyond_this_machine(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_compose_holds_no_secret_and_refuses_to_start_without(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search("TOKEN|PASSWORD|SECRET", variable):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name}.{variable}"


def test_variables_of_compose_are_in_the_example_file() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert asked == given


def test_new_env_fills_in_secrets_and_never_overwrites_them(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/new-env.sh", tmp_path / "deploy")
    shutil.copy(ROOT / ".env.example", tmp_path)
    script = tmp_path / "deploy/new-env.sh"
    assert run("sh", script).returncode == 0
    written = (tmp_path / ".env").read_text()
    secrets = re.findall(r"^\w+=([0-9a-f]{48})$", written, re.MULTILINE)
    assert len(secrets) == len(set(secrets)) == 4
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    again = run("sh", script)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert (tmp_path / ".env").read_text() == written


def test_mounted_files_are_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in compose["volumes"]


def test_the_agent_of_compose_has_a_valid_configuration(
    compose: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped file of the demonstration plant and where to send points, put together as the container does it."""
    agent = compose["services"]["agent"]
    assert "demo-plant.yaml /etc/edge-agent/influx.yaml >" in agent["command"][0]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in agent["volumes"]}
    parts = [ROOT / mounted[f"/etc/edge-agent/{name}"] for name in ("demo-plant.yaml", "influx.yaml")]
    for name, value in agent["environment"].items():
        monkeypatch.setenv(name, "a-token" if value.startswith("$") else value)
    together = tmp_path / "plant.yaml"
    together.write_text("".join(part.read_text() for part in parts))
    compiled = load_and_compile(together)
    assert compiled.influx is not None
    assert compiled.influx.url == "http://influxdb:8086"
    assert compiled.influx.bucket == "factory"
    assert compiled.influx.token == "a-token"
    assert compiled.mqtt[0].host == "mosquitto"
    assert compiled.agent.journal == agent["healthcheck"]["test"][3]


def test_the_services_of_the_image_call_commands_that_are_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    command, *words = services["plant"]["command"]
    assert {word for word in words if word.startswith("--")} <= options_of(command)
    _, _, command, _, *words = services["agent"]["healthcheck"]["test"]
    assert set(words) <= options_of(command)


def test_grafana_of_compose_is_provisioned_with_the_boards_of_the_image(
    compose: dict[str, Any], installed: Path, tmp_path: Path
) -> None:
    """What the service `boards` writes is what Grafana finds where it looks, and it names a password Grafana has."""
    boards, grafana = compose["services"]["boards"], compose["services"]["grafana"]
    words = [str(tmp_path) if word == "/var/lib/edge-agent" else word for word in boards["command"]]
    done = run(installed / "bin/edge-agent", *words, cwd=installed)
    assert done.returncode == 0, done.stderr
    (volume,) = boards["volumes"]
    shared, seen = next(v.split(":")[:2] for v in grafana["volumes"] if v.startswith("provisioning:"))
    assert volume == f"{shared}:/var/lib/edge-agent"
    (provider,) = YAML(typ="safe").load(tmp_path / "dashboards/edge-agent.yaml")["providers"]
    assert provider["options"]["path"] == f"{seen}/boards"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (tmp_path / Path(home).relative_to(seen)).is_file()
    (source,) = YAML(typ="safe").load(tmp_path / "datasources/edge-agent.yaml")["datasources"]
    assert source["secureJsonData"]["password"].strip("${}") in grafana["environment"]
    assert source["user"] == "grafana"
    assert source["url"] == compose["services"]["agent"]["environment"]["INFLUX_URL"]
    assert all(path.stat().st_mode & 0o004 for path in tmp_path.rglob("*"))  # another user reads them


def test_influxdb_maps_a_database_to_the_bucket_and_lets_grafana_only_read(compose: dict[str, Any]) -> None:
    script = (ROOT / "deploy/influxdb/init.sh").read_text()
    assert "influx v1 dbrp create" in script
    assert "--default" in script
    assert "--read-bucket" in script
    assert "--write-bucket" not in script
    assert run("sh", "-n", ROOT / "deploy/influxdb/init.sh").returncode == 0
    environment = compose["services"]["influxdb"]["environment"]
    for variable in re.findall(r"\$(\w+)", script):
        assert variable in environment or variable == "DOCKER_INFLUXDB_INIT_BUCKET_ID"  # which the image gives


def test_the_broker_of_compose_takes_its_configuration(tmp_path: Path) -> None:
    """Debian's mosquitto starts from the file; only its port, its folder and its log are others here."""
    program = require("mosquitto", package="mosquitto")
    port = free_port()
    shipped = (ROOT / "deploy/mosquitto.conf").read_text()
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(
        shipped.replace("listener 1883", f"listener {port}").replace("/mosquitto/data/", f"{tmp_path}/")
    )
    with running(ServerProcess([program, "-c", str(settings)], port=port, folder=tmp_path)):
        assert listens(port)


# --- systemd -------------------------------------------------------------------------------------------------------

UNIT = ROOT / "deploy/edge-agent.service"


def settings() -> dict[str, list[str]]:
    """Section.Key → values in order."""
    section, found = "", dict[str, list[str]]()
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
        ("StateDirectory", "edge-agent"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("MemoryMax", "1G"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "2"),
        ("TimeoutStopSec", "30s"),
        ("MemoryDenyWriteExecute", "yes"),
    ],
)
def test_the_unit_is_hardened(key: str, value: str) -> None:
    assert settings()[f"Service.{key}"] == [value]


def test_the_unit_reads_secrets_as_credentials_and_holds_none() -> None:
    assert settings()["Service.LoadCredential"] == ["secrets:/etc/edge-agent/secrets"]
    assert not re.search(r"(?i)(token|password)\s*=", UNIT.read_text())


def test_systemd_takes_the_unit_and_finds_little_exposed(tmp_path: Path) -> None:
    analyze = require("systemd-analyze", package="systemd")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(settings()["Service.ExecStart"][0], "/bin/true"))
    verified = run(analyze, "verify", copy)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = run(analyze, "security", "--offline=true", "--threshold=15", "--no-pager", copy)
    assert judged.returncode == 0, judged.stdout[-500:]


def test_the_agent_starts_where_memory_cannot_be_written_and_run(installed: Path) -> None:
    """MemoryDenyWriteExecute forbids what some libraries do when they are loaded; the kernel's own switch shows it."""
    start = (
        "import ctypes, os, sys; denied = ctypes.CDLL(None).prctl(65, 1, 0, 0, 0);"  # PR_SET_MDWE, Linux 6.3
        "sys.exit(77) if denied else None;"
        "from edge_agent.cli import app; import polars; print(polars.DataFrame({'a': [1]}).height)"
    )
    environment = dict(value.split("=", 1) for value in settings()["Service.Environment"])
    done = run(installed / "bin/python", "-c", start, cwd=installed, env={**os.environ, **environment})
    if done.returncode == 77:
        pytest.skip("this kernel has no switch that denies writable code")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "1"
