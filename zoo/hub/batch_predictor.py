"""Predicts for batches of a table, for engines that spread a table over many processes or machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.errors import ZooError, unknown_name
from zoo.hub.pretrained import from_pretrained

Column = NDArray[Any] | Sequence[Any]


class BatchPredictor:
    """A model as a callable that adds predictions to a batch, a dictionary of columns.

    The `map_batches` of Ray Data takes this class. Ray makes an object in each of its processes, which loads the model
    once and then predicts for many batches. A pickled object holds its arguments, not the weights.

    >>> import numpy as np
    >>> predict = zoo.BatchPredictor("spam-en-sms")
    >>> batch = predict({"text": np.array(["Claim your free prize now!", "See you at eight"], dtype=object)})
    >>> batch["prediction"].tolist()
    ['spam', 'ham']

    The answers are in the column "prediction": the tags of a sentence, the label or the labels of a text, or the text
    that the model has written. A classifier adds the column "probabilities", with a dictionary for each row.

    Args:
        source: what `from_pretrained` takes. All processes must see it.
        column: the name of the column with the inputs: texts, or for a tagger also lists of tokens.
        device: where to predict; by default on the GPU that the process sees, or else on the CPU.
        search: for a model that writes, the arguments of its `predict` that change the search, such as `{"beam": 5}`.
        max_tokens: the token budget of the model's own batches, into which it divides each batch that it is given.

    Raises:
        ZooError: there is no such model, or it is damaged.
    """

    def __init__(
        self,
        source: str,
        column: str = "text",
        *,
        device: str | None = None,
        search: Mapping[str, float] | None = None,
        max_tokens: int = 4096,
    ):
        self._again = partial(type(self), source, column, device=device, search=search, max_tokens=max_tokens)
        self.column = column
        self.options: dict[str, float] = {**(search or {}), "max_tokens": max_tokens}
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        # Each task has a `predict` of its own, which no base class declares.
        self.model: Any = from_pretrained(source).to(device)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again, ()

    def __call__(self, batch: Mapping[str, Column]) -> dict[str, Column]:
        """The columns of the batch and those of the predictions, with the rows in the same order.

        Raises:
            ZooError: the batch has no such column, or has one with the name of a new one; or an input is no text.
        """
        if self.column not in batch:
            raise unknown_name("column", self.column, batch)
        # Lists of tokens arrive as arrays, whose elements are strings all the same.
        answers = self.model.predict(list(batch[self.column]), **self.options)
        columns = {"prediction": answers}
        if answers and isinstance(answers[0], Mapping):
            columns = {
                "prediction": [answer["label"] if "label" in answer else answer["labels"] for answer in answers],
                "probabilities": [answer["probabilities"] for answer in answers],
            }
        for name in columns:
            if name in batch:
                raise ZooError(f"expected no column {name} in a batch, which is to get one: rename it, or leave it out")
        return {**batch, **{name: _objects(values) for name, values in columns.items()}}


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    """A column `(N,)` of any Python objects. numpy itself would make a table of equally long lists."""
    column = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        column[row] = value
    return column
