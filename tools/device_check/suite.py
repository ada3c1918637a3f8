"""The tests for a GPU, by pytest where it is at hand, without the plugins and settings of the whole suite."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from tools.device_check.setting import Setting

ROOT = Path(__file__).parents[2]
LAST_LINES = 15


def run_tests(setting: Setting) -> str:
    """The last lines of the report of `tests/test_on_a_gpu.py`; the section fails if a test does."""
    if importlib.util.find_spec("pytest") is None:
        return "pytest is not installed: the tests for a GPU were not run."
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", "--maxfail=20", "--tb=line"]
    if setting.tiny:
        options += ["-k", "garbage and min_gru"]
    command = [sys.executable, "-m", "pytest", *options, "tests/test_on_a_gpu.py"]
    environment = {**os.environ, "ZOO_TEST_DEVICE": setting.device.type, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=setting.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0] + f"\nstopped after {setting.seconds:.0f} s"
    lines = output.strip().splitlines()[-LAST_LINES:]
    return "```text\n" + "\n".join(lines) + "\n```"
