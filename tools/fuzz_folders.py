"""Loads thousands of damaged model folders, and reports what went wrong: nothing should.

python -m tools.fuzz_folders --mutants 10000

A folder is either refused with a ZooError, or loaded. If the card still has the old sums, a loaded model must predict
what the whole one predicts. Each kind of model is tried in a process of its own, in which loading must not crash, take
longer than `SECONDS`, take more than twice the memory of an honest model, or start a process, connect, unpickle,
compile or execute code.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType

import torch

import zoo
from tools.bundle_model import predict
from tools.damage import damage
from zoo.codecs import ClassificationCodec, Seq2SeqCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.models.options import POINTER_GENERATOR, SearchOptions
from zoo.storage import DTYPES
from zoo.text import Vocabulary
from zoo.text.inventory import Inventory
from zoo.text.reversible import SPECIALS

TEXTS = ["free prize now", "see you at home", "so it is"]
WORDS = [f"word{number}" for number in range(20_000)] + " ".join(TEXTS).split()
# A folder that takes longer counts as hanging, and so does the start of a process.
SECONDS = 60
SECONDS_TO_START = 600
READY = "ready"
# So many folders of a process may import modules of libraries.
IMPORTING = 30
# Memory is measured in pages, and what a thread or an import takes is not the model's.
SLACK = 16 << 20
FORBIDDEN = (
    "compile", "ctypes.dlopen", "exec", "marshal.loads", "os.exec", "os.fork", "os.posix_spawn", "os.system",
    "pickle.find_class", "shutil.unpack_archive", "socket.connect", "subprocess.Popen",
)  # fmt: skip


def tagger() -> zoo.SequenceTagger:
    characters = Vocabulary(["<pad>", "<unk>", *"abcdefghi"])
    tags = Inventory(["O", "B-X", "I-X"])
    codec = TaggingCodec(Vocabulary(["<pad>", "<unk>", *WORDS]), characters, tags, scheme="BIO")
    return zoo.SequenceTagger(codec, head="crf", hidden_size=64, embedding_size=64)


def classifier() -> zoo.TextClassifier:
    codec = ClassificationCodec(Vocabulary(["<pad>", "<unk>", *WORDS]), Inventory(["ham", "spam"]))
    return zoo.TextClassifier(codec, hidden_size=64, embedding_size=64, pooling="mean+attention")


def writer() -> zoo.Seq2Seq:
    codec = Seq2SeqCodec(Vocabulary([*SPECIALS, *WORDS]), tokenizer="words", max_target=5)
    return zoo.Seq2SeqSummarizer(
        codec,
        encoder_size=32,
        decoder_size=64,
        embedding_size=64,
        attention=POINTER_GENERATOR,
        search=SearchOptions(beam=1),
    )


KINDS: dict[str, Callable[[], zoo.SequenceTagger | zoo.TextClassifier | zoo.Seq2Seq]] = {
    "tagger": tagger,
    "classifier": classifier,
    "writer": writer,
}


def try_folders(kind: str, dtype: str, numbers: range, results: Connection) -> None:
    """Tries the damaged folders of these numbers, and sends (number, outcome) for each, after one that says `READY`."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        whole = KINDS[kind]().save_pretrained(Path(temporary) / "whole", dtype=dtype)
        expected = predictions(whole)
        events: set[str] = set()
        watching = True

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if watching and event in FORBIDDEN:
                events.add(_described(event, arguments))

        sys.addaudithook(watch)
        honest = max(_growth(whole) for _ in range(5))
        # torch executes code of its own in every load.
        honest_events = set(events)
        results.send((numbers.start - 1, READY))
        for number in numbers:
            dice = random.Random(f"{kind} {dtype} {number}")
            folder = Path(shutil.copytree(whole, Path(temporary) / "mutant"))
            signed = damage(folder, dice)
            _release_memory()
            before = _memory("VmRSS")
            events.clear()
            watching = True
            outcome = _outcome(folder, None if signed else expected)
            watching = False
            growth = _memory("VmHWM") - before
            if growth > 2 * honest + SLACK:
                outcome = f"memory: {growth >> 20} MiB, an honest one {honest >> 20} MiB, {outcome}"
            foreign = events - honest_events
            # The first folders may import what an error needs.
            if foreign and number >= numbers.start + IMPORTING:
                outcome = f"code: {min(foreign)}, {outcome}"
            results.send((number, outcome))
            shutil.rmtree(folder)
    results.send(None)


def predictions(folder: Path) -> object:
    """What the model of a folder predicts."""
    return predict(zoo.from_pretrained(folder), TEXTS)


def _outcome(folder: Path, expected: object) -> str:
    try:
        model = zoo.from_pretrained(folder)
    except ZooError as error:
        return "refused" if str(folder) in str(error) and len(str(error)) < 2000 else f"message: {str(error)[:300]}"
    except Exception as error:
        return f"error: {type(error).__name__}: {str(error)[:300]}"
    if expected is None:
        return "loaded with new sums"
    return "loaded, the same answers" if predict(model, TEXTS) == expected else "accepted: other answers"


def _described(event: str, arguments: tuple[object, ...]) -> str:
    """An event, with the names that its code uses."""
    code = arguments[0] if arguments else None
    if isinstance(code, CodeType):
        return f"{event} {code.co_filename} {code.co_name} {code.co_names}"[:300]
    return f"{event} {arguments}"[:300]


def _growth(folder: Path) -> int:
    """The peak of memory that loading an honest folder adds, in bytes."""
    _release_memory()
    before = _memory("VmRSS")
    predictions(folder)
    return _memory("VmHWM") - before


def _release_memory() -> None:
    """Gives freed memory back to the system, and begins to measure the peak anew."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def _memory(field: str) -> int:
    """A field of this process's memory in bytes, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))


def run(kind: str, dtype: str, mutants: int) -> Counter[str]:
    """Tries damaged folders of a kind in a process, which is started again where one ends or hangs."""
    outcomes: Counter[str] = Counter()
    context = multiprocessing.get_context("spawn")
    start = 0
    while start < mutants:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=try_folders, args=(kind, dtype, range(start, mutants), sender))
        process.start()
        sender.close()
        patience = SECONDS_TO_START
        try:
            while receiver.poll(patience):
                message = receiver.recv()
                if message is None:
                    start = mutants
                    break
                number, outcome = message
                start = number + 1
                patience = SECONDS
                if outcome == READY:
                    continue
                outcomes[outcome] += 1
                if ":" in outcome:
                    print(f"{kind} {dtype} {number}: {outcome}", flush=True)
            else:
                outcomes["hang"] += 1
                print(f"{kind} {dtype} {start}: hang", flush=True)
                start += 1
        except EOFError:
            outcomes["crash"] += 1
            print(f"{kind} {dtype} {start}: crash", flush=True)
            start += 1
        process.kill()
        process.join()
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=10_000, help="damaged folders of all kinds together")
    options = parser.parse_args()
    began = time.monotonic()
    each = -(-options.mutants // (len(KINDS) * len(DTYPES)))
    total: Counter[str] = Counter()
    for kind in KINDS:
        for dtype in DTYPES:
            outcomes = run(kind, dtype, each)
            total += outcomes
            print(f"| {kind} | {dtype} | {dict(outcomes)} |", flush=True)
    print(f"{sum(total.values()):,} folders in {(time.monotonic() - began) / 60:.1f} minutes: {dict(total)}")


if __name__ == "__main__":
    main()
