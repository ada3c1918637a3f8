"""Blocks of code in Markdown pages: found, run, and compared with what the page says that they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
# A comment at the start of a line shows a line that the block prints.
PRINTED = "# "


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def check_python(block: str, page: Path, namespace: dict[str, object]) -> None:
    """Runs a block of Python, which must print the lines that its comments at the start of a line show."""
    expected = [line.removeprefix(PRINTED) for line in block.splitlines() if line.startswith(PRINTED)]
    output = StringIO()
    with redirect_stdout(output):
        # The block must not inherit the `from __future__` of this file, which a reader's session does not have.
        exec(compile(block, page.name, "exec", dont_inherit=True), namespace)
    # A Trainer prints further lines between the expected ones.
    assert [line for line in output.getvalue().splitlines() if line in expected] == expected, output.getvalue()


def check_console(block: str, folder: Path) -> None:
    """Runs the command after `$` in a folder; it must print the lines below it."""
    command, expected = block.split("\n", 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command.removeprefix("$ "), shell=True, cwd=folder, capture_output=True, text=True, env=environment
    )
    assert done.stdout.rstrip("\n") == expected.rstrip("\n"), done.stderr
