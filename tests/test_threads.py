"""Batches in several threads: the same results in the same order, whatever the number of threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from zoo import from_pretrained
from zoo.threads import map_in_threads

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def in_a_new_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_results_are_in_order_and_from_as_many_threads_as_torch_has(threads):
    # The barrier opens when this many threads work at once.
    meeting = threading.Barrier(min(threads, 4))

    def work(item: int) -> tuple[int, int]:
        meeting.wait(timeout=30)
        return item * item, torch.get_num_threads()

    results = map_in_threads(work, range(4 * meeting.parties), CPU)
    assert results == [(item * item, 1) for item in range(4 * meeting.parties)]
    assert torch.get_num_threads() == threads == in_a_new_thread(torch.get_num_threads)


def test_few_items_get_several_threads_each(threads):
    found = map_in_threads(lambda _: torch.get_num_threads(), range(2), CPU)
    assert found == [max(1, threads // 2)] * 2


@pytest.mark.parametrize("items", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_workers_use_the_active_autocast_and_no_gradients(threads, dtype, items):
    weight = torch.nn.Parameter(torch.eye(3))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        products = map_in_threads(lambda x: x @ weight, torch.ones(items, 2, 3).unbind(), CPU)
    assert all(product.dtype == dtype and not product.requires_grad for product in products)


def test_an_error_is_raised_and_the_number_of_threads_is_restored(threads):
    def work(item: int) -> None:
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        map_in_threads(work, range(3), CPU)
    assert torch.get_num_threads() == threads == in_a_new_thread(torch.get_num_threads)
    assert map_in_threads(work, [], CPU) == []


TEXTS = ["A gripping film .", "It is dull", "We tag words with recurrent networks , slowly", "", "Why not ?"]


def labels(predictions: list) -> list:
    """Predictions without probabilities, which depend on the batch in their last digits."""
    return [prediction["label"] if isinstance(prediction, dict) else prediction for prediction in predictions]


@pytest.fixture(scope="module", params=["sentiment-en-sst2", "pos-en-ewt", "titles-en-acl"])
def model_and_single_predictions(request):
    """A bundled model, and what it predicts for each text alone in one thread."""
    model = from_pretrained(request.param)
    return model, labels([model.predict([text])[0] for text in TEXTS])


def test_predictions_are_independent_of_the_number_of_threads(model_and_single_predictions, threads):
    model, alone = model_and_single_predictions
    assert labels(model.predict(TEXTS, max_tokens=8)) == alone
