"""Whether a run is shown in Weights & Biases, and where: what the user says, or else what W&B is set up for."""

from __future__ import annotations

import os
import warnings
from netrc import NetrcParseError, netrc
from typing import Literal
from urllib.parse import urlparse

from zoo.errors import ZooError

Mode = Literal["online", "shared", "offline", "disabled", "unasked"]
# The mode for each value that W&B knows. "run" and "dryrun" are old names. A shared run is online, and others write
# into it, too.
MODES: dict[str, Mode] = {
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
    "run": "online",
    "dryrun": "offline",
    "shared": "shared",
}
# The user names no mode but has a key. Then the state that `wandb offline` or `wandb disabled` has set decides.
UNASKED: Literal["unasked"] = "unasked"
ONLINE = ("online", "shared")


def is_online(asked: str | None) -> bool:
    """Whether the user's mode means that the run is published."""
    return asked is not None and MODES.get(asked) in ONLINE


def wandb_mode(asked: str | None) -> Mode:
    """The mode of a run: `asked`, else `$WANDB_MODE`, else `UNASKED` if there is a key, else "disabled".

    Raises:
        ZooError: the mode is unknown.
    """
    word = asked or os.environ.get("WANDB_MODE")
    if not word:
        return UNASKED if _has_key() else "disabled"
    if word not in MODES:
        raise ZooError(f"unknown W&B mode {word!r}: known are {', '.join(MODES)}")
    mode = MODES[word]
    if mode in ONLINE and not _has_key():
        warnings.warn("no W&B key: the run is kept offline. Type `wandb login`, then `wandb sync FOLDER`")
        return "offline"
    return mode


def _has_key() -> bool:
    host = urlparse(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    try:
        login = netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, NetrcParseError):
        login = None
    return bool(os.environ.get("WANDB_API_KEY") or login)
