"""Checks and measures everything on a GPU in one run of at most eight minutes, and prints tables for RESULTS.md.

    python tools/gpu_check.py --out gpu.md
    python tools/gpu_check.py --device cpu --tiny --out try.md          tries all sections in small sizes
    python tools/gpu_check.py --device cpu --sections kernels --out cpu.md          measures the kernels of a CPU

It needs this checkout, torch and the base dependencies of setup.cfg, and no network; the tests of a GPU need pytest
too. Each section runs in a process of its own: an error, a hang, or a GPU that fails loses no other section.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[1]
# Seconds of each section, in the order in which they run: 460 in all.
SECONDS = {"cells": 50, "backbone": 110, "tasks": 100, "kernels": 60, "tests": 140}
# Imports, and the last point, may take so much longer.
GRACE = 30
TOTAL = 480


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try it")
    parser.add_argument("--out", type=Path, required=True, help="the file for the tables; sections are added to it")
    parser.add_argument("--sections", nargs="+", choices=SECONDS, default=list(SECONDS))
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try it on a CPU")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(run_section(options.sections[0], options.device, tiny=options.tiny))
        return 0
    start = perf_counter()
    options.out.write_text(describe(options.device), encoding="utf-8")
    failed = []
    for name in options.sections:
        left = TOTAL - (perf_counter() - start)
        ok, text = in_a_process(name, options.device, tiny=options.tiny, seconds=min(left, SECONDS[name] + GRACE))
        if not ok:
            failed.append(name)
        section = f"\n### {name}\n\n{text}\n"
        print(section, flush=True)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(section)
    ending = f"took {perf_counter() - start:.0f} s"
    print(f"{ending}; failed: {', '.join(failed) or 'none'}", file=sys.stderr)
    return 1 if failed else 0


def describe(device: str) -> str:
    """The date, the hardware and the versions."""
    import torch

    name = platform.processor() or platform.machine()
    if device == "cuda":
        cudnn = torch.backends.cudnn.version()
        name = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
    elif device == "cpu":
        name += f", {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    return f"{date.today()}, {name}, Python {platform.python_version()}, torch {torch.__version__}.\n"


def in_a_process(name: str, device: str, *, tiny: bool, seconds: float) -> tuple[bool, str]:
    """Runs a section in a process of its own: whether it ended well, and its text or the end of its error."""
    options = ["--child", "--sections", name, "--device", device, "--out", os.devnull]
    if tiny:
        options.append("--tiny")
    command = [sys.executable, str(Path(__file__)), *options]
    environment = {**os.environ, "WANDB_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=max(1.0, seconds), check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"FAILED: no end after {seconds:.0f} s."
    if done.returncode:
        return False, "FAILED:\n\n```text\n" + done.stderr.strip()[-3000:] + "\n```"
    bad = "TOO FAR" in done.stdout or " failed" in done.stdout or " error" in done.stdout
    return not bad, done.stdout.strip()


def run_section(name: str, device: str, *, tiny: bool) -> str:
    """Runs a section here, and returns its Markdown."""
    import torch

    from tools.device_check.backbone import compare_kernels, compare_with_packed
    from tools.device_check.cells import check_cells
    from tools.device_check.setting import Setting
    from tools.device_check.suite import run_tests
    from tools.device_check.tasks import measure_tasks

    sections: dict[str, Callable[[Setting], str]] = {
        "cells": check_cells,
        "backbone": compare_with_packed,
        "tasks": measure_tasks,
        "kernels": compare_kernels,
        "tests": run_tests,
    }
    return sections[name](Setting(torch.device(device), seconds=SECONDS[name], tiny=tiny))


if __name__ == "__main__":
    sys.exit(main())
