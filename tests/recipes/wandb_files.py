"""Reads the file in which W&B keeps a run."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.util import get_core_path


@dataclass
class Logged:
    """What W&B has of a run.

    Attributes:
        run: names of the run.
        config: the settings.
        rows: what was logged, a dictionary for each time.
        summary: the last value of each name.
        axes: by the name of a metric, the name of the metric that is its axis.
        artifacts: the artifacts, by name.
        files: the names of pictures and tables.
    """

    run: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


def logged_in(folder: Path) -> Logged:
    """What W&B has of a run that was kept offline in a folder: of all its parts together."""
    found = Logged()
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        for record in records(path):
            content = record.get(record["type"], {})
            if record["type"] == "run":
                found.run |= content
                found.config |= content["config"]["update"]
            elif record["type"] == "config":
                found.config |= content["update"]
            elif record["type"] == "history":
                found.rows.append(content["item"])
            elif record["type"] == "summary":
                found.summary |= content["update"]
            elif record["type"] == "metric" and "step_metric" in content:
                found.axes[content["glob_name"]] = content["step_metric"]
            elif record["type"] == "artifact":
                found.artifacts[content["name"]] = content
            elif record["type"] == "files":
                found.files += [file["path"] for file in content["files"]]
    return found


def records(path: Path) -> list[dict[str, Any]]:
    """The records of a file, by the command that `wandb leet inspect --json` runs."""
    command = [get_core_path(), "leet", "inspect", "--json", "--run-file", path, path.parent]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
