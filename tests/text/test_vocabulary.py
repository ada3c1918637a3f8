"""Vocabularies and inventories: deterministic, restored from plain lists, safe against texts with special entries."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.text import FILLING, PAD, START, UNKNOWN, Inventory, Vocabulary


@given(st.lists(st.text(max_size=3)), st.integers(1, 3))
def test_a_fitted_vocabulary_is_counted_and_survives_json(pieces, min_count):
    vocabulary = Vocabulary.fit(pieces, min_count=min_count)
    assert vocabulary[:2] == (PAD, UNKNOWN)
    assert set(vocabulary[2:]) == {p for p in pieces if pieces.count(p) >= min_count} - {PAD, UNKNOWN}
    counts = [pieces.count(p) for p in vocabulary[2:]]
    assert counts == sorted(counts, reverse=True)
    assert Vocabulary.fit(reversed(pieces), min_count=min_count) == vocabulary
    again = Vocabulary(json.loads(json.dumps(list(vocabulary))))
    assert again == vocabulary
    for piece, i in zip(pieces, vocabulary.ids(pieces), strict=True):
        assert vocabulary[i] == (piece if piece in vocabulary else UNKNOWN)


def test_a_token_spelled_like_padding_is_unknown():
    vocabulary = Vocabulary.fit([PAD, UNKNOWN, "a"])
    assert vocabulary.ids([PAD, "a"]) == [1, 2]
    assert PAD not in vocabulary


def test_without_an_unknown_entry_an_unknown_token_raises():
    vocabulary = Vocabulary.fit(["a"], specials=())
    assert vocabulary.ids(["a"]) == [0]
    assert vocabulary.get("b", 7) == 7
    with pytest.raises(KeyError):
        vocabulary.ids(["b"])


@given(st.lists(st.sampled_from([PAD, UNKNOWN, START, FILLING, "<unseen>", "O", "X", "", "_"])))
def test_no_name_of_an_inventory_is_special(names):
    inventory = Inventory.fit(names)
    assert set(inventory) == set(names)
    assert inventory.ids(inventory) == list(range(len(inventory)))
    assert all(name in inventory and inventory.get(name, -1) == i for i, name in enumerate(inventory))
    assert Inventory(json.loads(json.dumps(list(inventory)))) == inventory
    assert inventory.get("never", 7) == 7
    with pytest.raises(KeyError):
        inventory.ids(["never"])


def test_repeated_entries_are_refused():
    for kind in (Inventory, Vocabulary):
        with pytest.raises(ZooError, match="'a' occurs more than once"):
            kind(["a", "b", "a"])
