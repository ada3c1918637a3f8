"""What a run says when another process that it depends on has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed import DistError

from zoo.errors import ZooError


@contextmanager
def explaining_lost_processes() -> Iterator[None]:
    """Turns the error that the end of another process causes into a message.

    Raises:
        ZooError: there was one.
    """
    try:
        yield
    except RuntimeError as error:
        message = lost_process(error)
        if message is None:
            raise
        raise ZooError(message) from error


def lost_process(error: RuntimeError) -> str | None:
    """The message for an error that another process has caused by its end; None for any other error.

    torch raises such an error as soon as a connection breaks, or after the time limit of the strategy, 30 minutes.
    """
    text = str(error)
    if "EADDRINUSE" in text:
        return (
            "the processes of this run cannot meet, because another program uses the port: start the run again, or "
            f"choose a port with the environment variable MASTER_PORT ({text.splitlines()[0][:200]})"
        )
    # gloo, which connects processes on CPUs, has no error class of its own.
    if isinstance(error, DistError) or "gloo" in text:
        return (
            "the connection to another process of this run is lost: that process has ended, or its machine. Its own "
            f"last message says why ({text.splitlines()[0][:200]})"
        )
    if text.startswith("DataLoader worker"):
        return (
            "a process that loads data has ended, perhaps because the memory was full: use fewer of them "
            f"({text.splitlines()[0][:200]})"
        )
    return None
