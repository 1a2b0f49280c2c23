"""The files for containers and clusters in the docs say what the command line takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from harness.cli import cli

FOLDER = Path(__file__).parents[3] / "docs/examples/workers"


def accepted(words: list[str]) -> dict[str, Any]:
    """The options of a command line, as the command itself reads them. Raises click's errors."""
    command = cli.commands[words[0]]
    with command.make_context(words[0], list(words[1:]), resilient_parsing=False) as context:
        return dict(context.params)


def test_the_manifest_s_command_line_is_one_of_ours() -> None:
    """Its token is the file that its own volume brings."""
    manifest = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    options = accepted(container["args"])
    assert options["master"] == "10.0.0.5:5557"
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(options["token_file"]).startswith(f"{mounted['token']}/")
    assert {volume["name"] for volume in pod["volumes"]} == set(mounted)
    assert manifest["spec"]["selector"]["matchLabels"] == manifest["spec"]["template"]["metadata"]["labels"]


def test_the_compose_file_s_command_line_is_one_of_ours() -> None:
    """And what it leaves to the environment it asks for by name."""
    (service,) = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values()
    assert accepted(service["command"])["master"].startswith("${HARNESS_MASTER:?")
    assert service["environment"]["HARNESS_TOKEN"].startswith("${HARNESS_TOKEN:?")
    dockerfile = (FOLDER.parents[2] / service["build"]["dockerfile"]).read_text()
    copied = [line.split()[1:-1] for line in dockerfile.splitlines() if line.startswith("COPY")]
    assert all((FOLDER.parents[2] / name).exists() for names in copied for name in names)


def test_a_wrong_option_would_be_noticed() -> None:
    """What these tests rest on."""
    try:
        accepted(["worker", "--master", "x", "--tokenfile", "y"])
    except click.NoSuchOption:
        return
    raise AssertionError
