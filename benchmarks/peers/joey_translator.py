"""The worker that trains and times JoeyNMT's recurrent model, for `benchmarks/seq2seq_peers.py`.

All choices favour JoeyNMT: its training steps run without its trainer, so there is no validation, logging or
checkpoint. `predict` reads and writes pieces, and the fastest of several batch sizes counts in each round.
"""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stderr
from pathlib import Path
from time import perf_counter

import joeynmt
import torch
from joeynmt.builders import build_gradient_clipper, build_optimizer
from joeynmt.config import BaseConfig, parse_global_args
from joeynmt.datasets import BaseDataset
from joeynmt.model import Model
from joeynmt.prediction import predict, prepare
from turns import Message, Pace, Turns

MAX_GRADIENT_NORM = 5.0
# The largest number of pieces in an output.
LONGEST = 100


def configuration(folder: Path, sizes: Message, batch: int) -> BaseConfig:
    """The settings that JoeyNMT usually reads from a YAML file."""
    embeddings = {"embedding_dim": sizes["embedding_size"], "dropout": sizes["dropout"]}
    recurrent = {"type": "recurrent", "rnn_type": "lstm", "embeddings": embeddings, "num_layers": 1}
    side = {"level": "word", "voc_file": str(folder / "vocabulary.txt")}
    cfg = {
        "name": "peer",
        "model_dir": str(folder),
        "use_cuda": False,
        "data": {
            "train": str(folder / "train"),
            "test": str(folder / "test"),
            "src": {"lang": "source", **side},
            "trg": {"lang": "target", **side},
        },
        "model": {
            "tied_embeddings": True,
            # JoeyNMT can tie the output layer only if both sizes are equal.
            "tied_softmax": sizes["embedding_size"] == sizes["decoder_size"],
            "encoder": {**recurrent, "hidden_size": sizes["encoder_size"], "bidirectional": True},
            "decoder": {
                **recurrent,
                "hidden_size": sizes["decoder_size"],
                "hidden_dropout": sizes["dropout"],
                "attention": "luong",
                "init_hidden": "bridge",
                "input_feeding": False,
            },
        },
        "training": {
            "optimizer": "adam",
            "learning_rate": sizes["learning_rate"],
            "label_smoothing": sizes["label_smoothing"],
            "normalization": "tokens",
            "clip_grad_norm": MAX_GRADIENT_NORM,
            "batch_size": batch,
            "batch_type": "sentence",
        },
        "testing": {"beam_alpha": 1.0, "max_output_length": LONGEST, "generate_unk": False},
    }
    return parse_global_args(cfg, mode="train")


def train(
    turns: Turns, model: Model, data: BaseDataset, args: BaseConfig, epochs: int, rounds: int, warmup: float
) -> None:
    """Runs the training steps of JoeyNMT's trainer, with our learning rates."""
    options = args.train._asdict()
    optimizer = build_optimizer(options, model.parameters())
    clip = build_gradient_clipper(options)
    loader = data.make_iter(
        batch_size=args.train.batch_size, batch_type=args.train.batch_type, shuffle=True, seed=args.seed,
        pad_index=model.pad_index, eos_index=model.eos_index, device=args.device,
    )  # fmt: skip
    steps = epochs * len(loader)
    # JoeyNMT has no cosine schedule, and two of its schedules call torch with arguments that were removed.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.train.learning_rate, steps, pct_start=warmup, cycle_momentum=False
    )
    pace = Pace(turns, rounds, steps=steps)
    model.train()
    pace.begin()
    for epoch in range(epochs):
        loader.batch_sampler.set_seed(args.seed + epoch)
        for batch in loader:
            batch.sort_by_src_length()
            loss, *_ = model(return_type="loss", **vars(batch))
            batch.normalize(loss, args.train.normalization).backward()
            clip(parameters=model.parameters())
            optimizer.step()
            schedule.step()
            model.zero_grad()
            pace.step(batch.ntokens)
    turns.give(**pace.result)


def translate(model: Model, data: BaseDataset, args: BaseConfig, beams: list[int], batches: list[int]) -> Message:
    """Times `predict` for each beam, with the fastest batch size."""
    seconds, outputs = {}, {}
    for beam in map(str, beams):
        times = []
        for batch in batches:
            test = args.test._replace(beam_size=int(beam), batch_size=batch)
            # No option turns the progress bar off.
            with redirect_stderr(io.StringIO()):
                started = perf_counter()
                _, _, outputs[beam], *_ = predict(model, data, args.device, n_gpu=0, args=test, autocast=args.autocast)
                times.append(perf_counter() - started)
        seconds[beam] = min(times)
    return {"seconds": seconds, "outputs": outputs}


def main() -> None:
    turns = Turns()
    logging.disable(logging.WARNING)
    settings = turns.take()
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    args = configuration(Path(settings["pieces"]), settings["sizes"], settings["training"].pop("batch"))
    model, data, _, test = prepare(args, rank=0, mode="train")
    turns.give(
        joeynmt=f"JoeyNMT {joeynmt.__version__} on torch {torch.__version__}",
        parameters=sum(p.numel() for p in model.parameters()),
    )
    train(turns, model, data, args, warmup=settings["sizes"]["warmup"], **settings["training"])
    while True:
        turns.give(**translate(model, test, args, **turns.take()))


main()
