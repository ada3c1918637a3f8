"""`tools/gpu_check.py` on a CPU, in small sizes: the code that runs on a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import gpu_check
from tools.device_check import cells, setting, tasks

ROOT = Path(__file__).parents[1]
# What the base dependencies do not bring.
OF_NO_BASE = ("seqeval", "keras", "hypothesis", "jieba", "pyarrow", "h5py", "sklearn", "pytest", "ray")


@pytest.mark.parametrize("section", ["cells", "backbone", "kernels", "tasks"])
def test_each_section_makes_a_table(section, monkeypatch):
    monkeypatch.setattr(cells, "CELLS", ["lstm", "min_gru"])
    monkeypatch.setattr(tasks, "TASKS", ("tagging, CRF", "classification"))
    monkeypatch.setattr("tools.device_check.backbone.SHORTEST", (0.5,))
    text = gpu_check.run_section(section, "cpu", tiny=True)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    # The head, the line below it, and at least two points.
    assert len(lines) >= 4
    assert len({line.count("|") for line in lines}) == 1
    assert "Left out" not in text and "nan" not in text and "TOO FAR" not in text


def test_a_cell_that_is_far_off_is_reported(monkeypatch):
    monkeypatch.setattr(cells, "CELLS", ["lstm"])
    monkeypatch.setitem(cells.TOLERANCES, "bf16", (1e-9, 1e-9))
    assert "TOO FAR: lstm in bf16." in gpu_check.run_section("cells", "cpu", tiny=True)


def test_what_has_no_time_is_left_out_and_counted():
    late = setting.Setting(device=None, seconds=-1.0)
    assert list(late.points([("a",), ("b",)])) == []
    assert "Left out for lack of time: 2 rows." in setting.table(["cell"], [], 2)


def test_a_section_that_fails_loses_no_other_and_needs_base_dependencies_alone(tmp_path, monkeypatch, capsys):
    blocked = f"import sys; sys.modules.update(dict.fromkeys({OF_NO_BASE})); "
    run = "from tools import gpu_check, device_check; print(gpu_check.run_section('cells', 'cpu', tiny=True))"
    done = subprocess.run([sys.executable, "-c", blocked + run], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "All are within their tolerance." in done.stdout, done.stderr
    ok, text = gpu_check.in_a_process("nothing", "cpu", tiny=True, seconds=60)
    assert not ok and "invalid choice: 'nothing'" in text
    monkeypatch.setattr(gpu_check, "in_a_process", lambda name, *_, **__: (name != "cells", f"text of {name}"))
    out = tmp_path / "gpu.md"
    assert gpu_check.main(["--device", "cpu", "--out", str(out), "--sections", "cells", "kernels"]) == 1
    assert "text of cells" in out.read_text() and "text of kernels" in out.read_text()
    assert "failed: cells" in capsys.readouterr().err


def test_all_sections_together_take_at_most_eight_minutes():
    assert sum(gpu_check.SECONDS.values()) <= gpu_check.TOTAL == 8 * 60
