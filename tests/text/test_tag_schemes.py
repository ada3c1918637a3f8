"""Tag schemes: strict spans as in seqeval, lossless conversion, and transitions that allow what is legal."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Tokens

from zoo.errors import ZooError
from zoo.text.tag_schemes import SCHEMES, Span, convert, detect_scheme, is_legal, spans, strange_tags, transitions

LETTERS = {"BIO": "BI", "IOB1": "BI", "BIOES": "BIES", "BMES": "BMES", "BILOU": "BILU"}
REFERENCE = {"BIO": IOB2, "IOB1": IOB1, "BIOES": IOBES, "BMES": IOBES, "BILOU": BILOU}


def inventory(scheme: str, labels: tuple[str, ...] = ("x", "y-z")) -> list[str]:
    return ["O", *(f"{prefix}-{label}" for label in labels for prefix in LETTERS[scheme])]


def reference_spans(tags: list[str], scheme: str) -> list[Span]:
    tags = ["I" + tag[1:] if tag[0] == "M" else tag for tag in tags]
    return [Span(e.start, e.end, e.tag) for e in Tokens(tags, REFERENCE[scheme]).entities]


def write(found: list[Span], length: int, scheme: str) -> list[str]:
    """The tags of spans, by rules that are independent of the code under test."""
    tags = ["O"] * length
    for i, (start, end, label) in enumerate(found):
        touches = i > 0 and found[i - 1].end == start and found[i - 1].label == label
        whole = {"BIO": "B" + "I" * 9, "IOB1": "I" * 10}.get(scheme)
        if whole is None:
            inside = "M" if scheme == "BMES" else "I"
            lone, last = ("U", "L") if scheme == "BILOU" else ("S", "E")
            whole = lone if end - start == 1 else "B" + inside * (end - start - 2) + last
        elif touches:
            whole = "B" + whole[1:]
        tags[start:end] = [f"{prefix}-{label}" for prefix in whole[: end - start]]
    return tags


@st.composite
def some_spans(draw: st.DrawFn) -> tuple[list[Span], int]:
    found, position = [], 0
    for _ in range(draw(st.integers(0, 4))):
        start = position + draw(st.integers(0, 2))
        position = start + draw(st.integers(1, 4))
        found.append(Span(start, position, draw(st.sampled_from(["x", "y-z", "z-"]))))
    return found, position + draw(st.integers(0, 2))


@settings(deadline=None, max_examples=300)
@given(st.data())
@pytest.mark.parametrize("scheme", SCHEMES)
def test_spans_of_any_sequence_equal_those_of_seqeval_strict(scheme, data):
    tags = data.draw(st.lists(st.sampled_from(inventory(scheme)), max_size=9))
    assert spans(tags, scheme) == reference_spans(tags, scheme)


@settings(deadline=None)
@given(some_spans())
@pytest.mark.parametrize("scheme", SCHEMES)
def test_well_formed_spans_are_all_found(scheme, case):
    found, length = case
    assert spans(write(found, length, scheme), scheme) == found


@settings(deadline=None)
@given(some_spans())
@pytest.mark.parametrize("source", SCHEMES)
@pytest.mark.parametrize("target", SCHEMES)
def test_conversion_keeps_the_spans_and_is_invertible(source, target, case):
    found, length = case
    tags = write(found, length, source)
    there = convert(tags, source, target)
    assert there == write(found, length, target)
    assert convert(there, target, source) == tags


@pytest.mark.parametrize("scheme", SCHEMES)
def test_transitions_allow_exactly_the_legal_sequences(scheme):
    tags = inventory(scheme, ("x", "y"))
    start, end, pairs = transitions(tags, scheme)
    for length in range(1, 5):
        for ids in product(range(len(tags)), repeat=length):
            sequence = [tags[i] for i in ids]
            allowed = start[ids[0]] and end[ids[-1]] and all(pairs[i][j] for i, j in pairwise(ids))
            assert allowed == (write(spans(sequence, scheme), length, scheme) == sequence), sequence


def test_convert_refuses_an_illegal_sequence_with_the_position():
    with pytest.raises(ValueError, match="position 2.*'I-y'.*BIO.*behind 'B-x'"):
        convert(["O", "B-x", "I-y"], "BIO", "BMES")
    with pytest.raises(ValueError, match="position 0.*'E-x'.*at the start"):
        convert(["E-x"], "BIOES", "BIO")
    with pytest.raises(ValueError, match="position 2.*end of the sequence.*behind 'B-x'"):
        convert(["O", "B-x"], "BMES", "BIO")


@pytest.mark.parametrize("tag", ["NN", "M-x", "I-", "", "b-x"])
def test_a_tag_of_no_scheme_is_refused_with_its_position(tag):
    for function in (spans, transitions):
        with pytest.raises(ValueError, match=f"'{tag}' at position 1.*BIO.*B-<label>, I-<label>, O"):
            function(["O", tag], "BIO")


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    for function, schemes in ((spans, ["BILUO"]), (transitions, ["BILUO"]), (convert, ["BIO", "BILUO"])):
        with pytest.raises(ValueError, match="BILUO.*did you mean 'BILOU'.*BILOU, BIO, BIOES, BMES, IOB1"):
            function(["O"], *schemes)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["O", "B-x", "I-x"], "BIO"),
        (["B-x", "B-y", "O"], "BIO"),
        (["O", "I-x", "I-y", "B-y"], "IOB1"),
        (["O", "B-x", "I-x", "E-x", "S-x"], "BIOES"),
        (["S-x", "O"], "BIOES"),
        (["O", "B-x", "M-x", "E-x", "S-x"], "BMES"),
        (["B", "M", "E", "S"], "BMES"),
        (["O", "B-x-y", "I-x-y"], "BIO"),
        (["O"], None),
        ([], None),
        (["NOUN", "VERB", "O"], None),
        (["O", "B-x", "L-x", "U-y"], "BILOU"),
        (["U-x", "O"], "BILOU"),
        (["B", "I", "L", "U", "O"], "BILOU"),
        (["O", "B-x", "I-x", "NN"], "BIO"),
        (["O", "B_x", "I_x"], "BIO"),
        (["B-x", "_", "_"], "BIO"),
        ("NOUN VERB ADJ ADV PRON DET ADP NUM CCONJ SCONJ PART INTJ PROPN PUNCT SYM AUX X".split(), None),
        (["NN", "M", "B", "S", "U"], None),
        (["S", "V", "O"], None),
        (["X", "X", "X"], None),
    ],
)
def test_the_scheme_is_detected_from_the_tags(tags, scheme):
    assert detect_scheme(iter(tags)) == scheme


ODD = ["o", "X", "B-", "O\u00a0", "B_x", "I", "E-x", "L-y", "M-x", "S-x", "U-x", "NN", "-", "_", "", "I-z"]


# The label of a sentence's only span, or None, and the number of tokens behind the span.
SENTENCE = st.tuples(st.sampled_from([None, "x", "y-z", "z-"]), st.integers(0, 5))


@settings(deadline=None)
@given(st.lists(SENTENCE, min_size=20, max_size=20), st.sampled_from(ODD), st.integers(0, 19))
@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "BILOU", "BMES"])
def test_one_odd_tag_does_not_change_the_detected_scheme(scheme, cases, odd, place):
    """Every span has three tokens, so that it shows its scheme."""
    sentences = [write([Span(0, 3, label)] if label else [], 3 + behind, scheme) for label, behind in cases]
    sentences += [write([Span(0, 3, "x")], 4, scheme)] * 5
    assert detect_scheme(tag for tags in sentences for tag in tags) == scheme
    sentences[place] = [*sentences[place], odd]
    assert detect_scheme(tag for tags in sentences for tag in tags) == scheme
    strange = strange_tags([tag for tags in sentences for tag in tags], scheme)
    if odd in inventory(scheme, ("x", "y", "z")):
        assert strange == []
    # In the schemes that have the prefix, "I" marks a span without a label.
    elif odd != "I":
        assert strange == [odd]


@given(st.lists(st.sampled_from([*ODD, "O", "B-x", "NN"])))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_tags_reported_as_strange_are_those_that_are_refused(scheme, tags):
    strange = strange_tags(tags, scheme)
    for tag in tags:
        try:
            spans([tag], scheme)
        except ZooError:
            assert tag in strange
        else:
            assert tag not in strange


def test_labels_may_be_missing():
    assert spans(list("BMESS"), "BMES") == [Span(0, 3, ""), Span(3, 4, ""), Span(4, 5, "")]
    assert convert(list("BMESS"), "BMES", "IOB1") == list("IIIBB")


def test_legal_sequences_are_told_from_illegal_ones():
    assert is_legal(["B-X", "M-X", "E-X", "O", "S-Y"], "BMES")
    assert not is_legal(["B-X", "O"], "BMES")
    assert not is_legal(["M-X", "E-X"], "BMES")
    assert not is_legal(["B-X", "E-Y"], "BMES")
