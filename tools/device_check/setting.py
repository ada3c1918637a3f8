"""What all sections share: the device, the time that is left, timers, and tables."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SYNCHRONISES = "called a synchronizing CUDA operation"


@dataclass
class Setting:
    """Where and how long a section runs.

    Attributes:
        device: what is measured.
        seconds: the time of the section; points that do not fit are left out and counted.
        tiny: whether all sizes are small, to try a section on a CPU.
    """

    device: torch.device
    seconds: float = 60.0
    tiny: bool = False
    start: float = field(default_factory=perf_counter)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def points(self, points: Sequence[tuple[object, ...]]) -> Iterator[int]:
        """The indices of points, in their order, as long as there is time for one more."""
        for index in range(len(points)):
            used = perf_counter() - self.start
            if used + (used / index if index else 0.0) > self.seconds:
                return
            yield index

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def autocast(self, precision: str) -> torch.autocast:
        dtype = PRECISIONS[precision]
        half = dtype != torch.float32
        return torch.autocast(self.device.type, dtype if half else None, enabled=half)

    def times(self, passes: Sequence[Callable[[], object]], seconds: float = 0.15) -> list[float]:
        """Median seconds of each pass, taking turns, after two passes that do not count."""
        for one in passes:
            one()
            one()
        took: list[list[float]] = [[] for _ in passes]
        end = perf_counter() + (0.0 if self.tiny else seconds * len(passes))
        while perf_counter() < end or len(took[0]) < 3:
            for one, durations in zip(passes, took, strict=True):
                self.synchronize()
                start = perf_counter()
                one()
                self.synchronize()
                durations.append(perf_counter() - start)
        return [median(durations) for durations in took]

    def peak_memory(self, one: Callable[[], object]) -> str:
        """Megabytes that a pass allocates at its peak, on a GPU."""
        if not self.on_gpu:
            return "-"
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        one()
        return f"{(torch.cuda.max_memory_allocated(self.device) - before) / 2**20:,.0f}"

    def synchronisations(self, one: Callable[[], object]) -> str:
        """How often a pass makes the host wait for the GPU."""
        if not self.on_gpu:
            return "-"
        self.synchronize()
        with _sync_warnings() as caught:
            one()
        return str(sum(SYNCHRONISES in str(warning.message) for warning in caught))

    def busy(self, one: Callable[[], object], seconds: float) -> str:
        """The share of a pass's `seconds` in which the GPU runs kernels."""
        if not self.on_gpu:
            return "-"
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            one()
            self.synchronize()
        microseconds = sum(event.self_device_time_total for event in profile.key_averages())
        return f"{microseconds / 1e6 / seconds:.0%}"


@contextmanager
def _sync_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Collects torch's warnings of operations that make the host wait."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield caught
        finally:
            torch.cuda.set_sync_debug_mode(before)


def some_lengths(rows: int, steps: int, shortest: float = 0.9) -> Tensor:
    """Random lengths `(B,)` from a fraction of T on, the first one T."""
    generator = torch.Generator().manual_seed(rows * steps)
    lengths = torch.randint(max(1, int(shortest * steps)), steps + 1, (rows,), generator=generator)
    lengths[0] = steps
    return lengths


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], left_out: int = 0) -> str:
    """A Markdown table, and how many rows had no time."""
    lines = [" | ".join(columns), "|".join(["---"] + ["---:"] * (len(columns) - 1)), *(" | ".join(row) for row in rows)]
    text = "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines)
    return f"{text}\n\nLeft out for lack of time: {left_out} rows." if left_out else text
