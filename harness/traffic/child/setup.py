"""What master, worker and checker share: the scenario imported, the options parsed, Locust's environment made."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

from locust import argument_parser, runners
from locust.env import Environment
from locust.util.load_locustfile import load_locustfile

from harness.traffic.channel import Channel
from harness.traffic.child.declared import load_declared
from harness.traffic.fast.sources import sources
from harness.traffic.fast.user import FastUser
from harness.traffic.scenario import Loaded, ScenarioError, load
from harness.traffic.settings import ChildSettings

_USES_STATISTICS = re.compile(r"\bstats\b")


def load_scenario(settings: ChildSettings) -> Loaded:
    """The user classes, pointed at the target. Raises ScenarioError."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    runners.WORKER_LOG_REPORT_INTERVAL = -1  # logs lie in files of their own
    sources.use(settings.source_addresses, settings.workers)
    if settings.declared is not None:
        return load_declared(settings)
    loaded = load(Path(settings.scenario), load_locustfile)
    for user_class in loaded.classes:
        user_class.host = settings.address
        if settings.source_addresses and not issubclass(user_class, FastUser):
            message = f"{user_class.__name__} is no FastUser: others cannot be told which address to connect from"
            hint = "from harness.traffic import FastUser; or leave traffic.source_addresses out"
            raise ScenarioError(message, where=settings.scenario, hint=hint)
    return loaded


def make_environment(settings: ChildSettings, loaded: Loaded, events: Any) -> Environment:
    """Locust's environment as its own command line makes it. Raises ScenarioError when no task is left by the tags."""
    environment = Environment(
        locustfile=Path(settings.scenario).name,
        user_classes=list(loaded.classes),
        events=events,
        host=settings.address,
        tags=list(settings.tags) or None,
        exclude_tags=list(settings.exclude_tags) or None,
        parsed_options=_options(settings),
        parsed_locustfiles=[settings.scenario],
    )
    environment._filter_tasks_by_tags()
    idle = [found for found in environment.user_classes if not found.tasks and not hasattr(found, "functions")]
    environment.user_classes[:] = [found for found in environment.user_classes if found not in idle]
    if not environment.user_classes:
        message = f"the user class {idle[0].__name__} has no task to run"
        tagged = settings.tags or settings.exclude_tags
        hint = "no task carries the tags of the experiment" if tagged else "mark a method with @task"
        raise ScenarioError(message, where=settings.scenario, hint=hint)
    return environment


def uses_statistics(settings: ChildSettings) -> bool:
    """Whether the scenario, or a module beside it, reads Locust's own statistics (environment.stats)."""
    if settings.declared is not None:
        return False
    folder = Path(settings.scenario).resolve().parent
    for module in list(sys.modules.values()):
        source = getattr(module, "__file__", None)
        if source and source.endswith(".py") and Path(source).resolve().is_relative_to(folder):
            if "site-packages" in Path(source).parts:
                continue
            if _USES_STATISTICS.search(Path(source).read_text(encoding="utf-8", errors="replace")):
                return True
    return False


def report_failure(channel: Channel, error: ScenarioError) -> None:
    """Tell the harness what is wrong with the scenario and end this process."""
    channel.send({"failed": {"message": str(error), "where": error.where, "hint": error.hint}})
    sys.exit(3)


def _options(settings: ChildSettings) -> Any:
    """Every option of Locust and of the scenario (init_command_line_parser) at its default or LOCUST_* value."""
    try:
        options = argument_parser.get_parser(default_config_files=[]).parse_args([])
    except SystemExit as error:
        raise ScenarioError(
            "an argument that the scenario adds cannot be parsed without a value",
            where=settings.scenario,
            hint="give each argument of init_command_line_parser a default, or set its LOCUST_* variable",
        ) from error
    options.headless = True
    options.host = settings.address
    options.master = settings.role == "master"
    options.worker = settings.role == "worker"
    options.expect_workers = settings.workers
    options.tags = list(settings.tags) or None
    options.exclude_tags = list(settings.exclude_tags) or None
    options.locustfile = settings.scenario
    return options
