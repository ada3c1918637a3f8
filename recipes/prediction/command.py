"""The common parts of all `predict` commands: their flags, their input, and the device of the model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from jsonargparse import Namespace

from datamodules import CATALOG
from datamodules.readers.tables import ENDINGS, FORMATS, is_number
from recipes.prediction.inputs import TAGGED, Item, Source, format_by_ending
from recipes.prediction.streams import CHUNK, stream
from recipes.runner.evaluation import load_model
from recipes.runner.origins import origin_of
from recipes.runner.parser import Parser, one_of
from recipes.runner.recipe import Recipe, instance
from zoo.errors import ZooError
from zoo.hub.pretrained import list_pretrained
from zoo.models.base import ZooModule
from zoo.text.languages import guess_language, is_unspaced

M = TypeVar("M", bound=ZooModule)
PRECISIONS: Mapping[str, torch.dtype | None] = {
    "32-true": None,
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
}


def model_parser(recipe: Recipe, command: str, description: str, pretrained: str | None) -> Parser:
    """The flags of every command that applies a model: the model, and where to compute.

    Args:
        recipe: the recipe of the command.
        command: its name.
        description: the description in `--help`.
        pretrained: the default model; None if the user has to name one.
    """
    parser = Parser(prog=f"python -m recipes.{recipe.name} {command}", description=description, allow_abbrev=False)
    add = parser.add_argument
    model_help = "A bundled model, a model or run folder, or a checkpoint."
    add("--model", type=str | None, default=pretrained, help=model_help)
    add(
        "--device",
        type=str,
        default="auto",
        help="The device, such as cpu, cuda:1 or mps; auto uses a GPU if there is one.",
    )
    add(
        "--precision",
        type=one_of(PRECISIONS),
        default="32-true",
        help="The precision. 16 bits are faster and less exact.",
    )
    return parser


def prediction_parser(
    recipe: Recipe, description: str, pretrained: str | None, formats: Sequence[str], *, inputs: Sequence[str] = ()
) -> Parser:
    """The flags of every `predict`: input, model, output, and where to compute.

    Args:
        recipe: the recipe of the command.
        description: the description in `--help`.
        pretrained: the default model; None if the user has to name one.
        formats: the formats of the output. The first one is the default.
        inputs: formats of the input in addition to text and tables.
    """
    kinds = ("text", *inputs, *(table for table in FORMATS if table not in inputs))
    parser = model_parser(recipe, "predict", description, pretrained)
    add = parser.add_argument
    add("input", nargs="?", type=str, default="-", help="The input file, or - for standard input.")
    add(
        "--input_format",
        type=one_of(kinds) | None,
        help="The format of the input; by default that of the file's ending, else one text a line.",
    )
    add("--text_column", type=str | None, help="The column of the texts in a table: a name, or a number from 0.")
    add("--header", type=bool | None, help="Whether the first line of a CSV or TSV file names the columns.")
    add("--format", type=one_of(formats) | None, help=f"The format of the output; by default {formats[0]} for texts.")
    add("--output", type=str, default="-", help="The output file, or - for standard output.")
    add("--overwrite", action="store_true", help="Let the output replace an existing file.")
    add("--batch_size", type=int, default=CHUNK, help="The number of items to read and answer at a time.")
    return parser


def source_of(options: Namespace, *, tokens: bool = False) -> Source:
    """The input that the flags name.

    Args:
        options: the flags of a `prediction_parser`.
        tokens: whether the model reads tokens, so that the input may be a file of tokens.
    """
    format = options.input_format or format_by_ending(options.input, TAGGED if tokens else ENDINGS)
    columns, header = _text_columns(options, tokens)
    if options.header is not None:
        header = options.header
    guessed = format is None
    return Source(options.input, format or "text", guessed=guessed, columns=columns, header=header, tokens=tokens)


def _text_columns(options: Namespace, tokens: bool) -> tuple[list[str], bool | None]:
    """The columns that may have the texts, and whether there is a header: from the flags, or else from the training."""
    if options.text_column is not None:
        return [options.text_column], None
    if tokens:
        return ["tokens", "text"], None
    origin = origin_of(options.model)
    trained = origin.data.get("text_column") or origin.data.get("source")
    if origin.own_files and trained is not None:
        header = origin.data.get("header")
        return [str(trained), "text"], None if header is None else bool(header)
    corpus = CATALOG.get(str(origin.data.get("dataset")))
    known = [trained, corpus.text_column if corpus else None, "text", "source"]
    # The number of a column applies only to the files of that corpus.
    return [name for name in known if isinstance(name, str) and not is_number(name)], None


def load_predictor(options: Namespace, recipe: Recipe, kind: type[M]) -> M:
    """Loads the model that the flags name onto their device.

    Args:
        options: the flags of a `model_parser`.
        recipe: the recipe of the command.
        kind: the class of the model.

    Raises:
        ZooError: there is no such model or device, or the model is damaged or is for another task.
    """
    if options.model is None:
        raise ZooError(f"name a trained model with --model, such as the folder of a run of recipes.{recipe.name}")
    # A command that reads no file has no such flag.
    if options.get("batch_size", 1) < 1:
        raise ZooError(f"expected a --batch_size of at least 1, got {options.batch_size}")
    model = instance(load_model(options.model, recipe), kind)
    name = options.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return model.to(torch.device(name))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ZooError(f"--device {options.device}: expected a device of this machine, got: {reason[:200]}") from error


def warn_of_language(reference: str, chunk: Sequence[Item]) -> None:
    """Warns if the letters of the texts show another script than that of a bundled model."""
    card = list_pretrained().get(reference)
    texts = [item.content if isinstance(item.content, str) else " ".join(item.content) for item in chunk]
    has_letters = any(character.isalpha() for text in texts for character in text)
    if card is None or Path(reference).is_dir() or not has_letters:
        return
    found = guess_language(texts)
    if is_unspaced(card["language"]) != is_unspaced(found):
        warnings.warn(
            f"{reference} was trained on {card['data']['dataset']}, language {card['language']}, but these texts "
            f"look like language {found}: its answers are meaningless here. Choose another model with --model"
        )


@contextmanager
def computing(options: Namespace, model: ZooModule) -> Iterator[None]:
    """A context in which the model computes in the precision that the flags name."""
    dtype = PRECISIONS[options.precision]
    with torch.autocast(model.device.type, dtype, enabled=dtype is not None):
        yield


def answer(
    options: Namespace,
    source: Source,
    write: Callable[[Sequence[Item]], Iterable[str]],
    unit: str,
    header: str = "",
) -> None:
    """Streams the input to the output; its arguments are those of `recipes.prediction.streams.stream`."""
    is_first = True

    def checked(chunk: Sequence[Item]) -> Iterable[str]:
        nonlocal is_first
        if is_first:
            warn_of_language(options.model, chunk)
        is_first = False
        return write(chunk)

    stream(
        source,
        checked,
        unit,
        output=options.output,
        overwrite=options.overwrite,
        chunk_size=options.batch_size,
        header=header,
    )
