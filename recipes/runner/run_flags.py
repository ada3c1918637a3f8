"""The flags of a run as a whole: its folder, what it may do, and what it shows."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.cli import LightningArgumentParser

from recipes.runner.wandb_flags import add_wandb_flags

# A flag that may stand alone.
SWITCH: dict[str, Any] = {"type": bool, "nargs": "?", "const": True, "default": False}
SWITCHES = {
    "resume": "Continue the run in --out.",
    "overwrite": "Delete the files of an older run in --out before the training.",
    "quiet": "Show no progress: print the final table, warnings and errors.",
    "skip_nonfinite": "Leave out a step whose loss or gradient is NaN or infinite, and count it; by default the run "
    "stops there.",
}


def add_run_flags(parser: LightningArgumentParser) -> None:
    """Adds the flags of a run."""
    parser.add_argument(
        "--out", type=str | None, default=None, help="The folder of the run; by default runs/RECIPE/TIME."
    )
    for name, text in SWITCHES.items():
        parser.add_argument(f"--{name}", **SWITCH, help=text)
    parser.add_argument(
        "--ema",
        type=float,
        default=0.997,
        help="Decay of the exponential moving average of the weights; 0 for no average.",
    )
    parser.add_argument(
        "--trust", type=str | None, default=None, help="Classes that a config file may name, such as a.B,c.D."
    )
    add_wandb_flags(parser)
