"""CoNLL-U and column files: reading restores what was written, writing back changes one column, errors name a line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.column_files import read_columns
from datamodules.readers.conllu import CONLLU_COLUMNS, parse_conllu, read_conllu

# Characters that Python counts as white space and that belong to words here, such as the no-break space and U+2028.
ODD = "\x0b\x0c\x1c\x85\xa0\u2028\u3000\ufeff"
SENTENCE = (
    "# text = Au lac bleu foncé\n"
    "1-2\tAu\t_\t_\t_\t_\t_\t_\t_\tNER=B-X\n"
    "1\tà\tà\tADP\t_\t_\t4\tcase\t_\t_\n"
    "2\tle\tle\tDET\t_\tGender=Masc|Number=Sing\t4\tdet\t_\tNER=O\n"
    "2.1\tlac\tlac\tNOUN\t_\t_\t_\t_\t_\tNER=B-X\n"
    "3\tlac\tlac\tNOUN\t_\tNumber=Sing\t0\troot\t_\tA=1|NER=B-LOC|SpaceAfter=No\n"
    "4\tbleu foncé\tbleu foncé\tADJ\t_\t_\t4\tamod\t_\tNERO=7|SpaceAfter=No\n"
    "\n"
)
TOKENS = ("à", "le", "lac", "bleu foncé")
WORD = "1\ta\ta\tX\tX\t_\t0\troot\t_\t_\n"


def words(separators: str, plain: str = "ab漢é#-0_") -> st.SearchStrategy[str]:
    """Words of all kinds of characters, often of `ODD` ones, and without any of `separators`."""
    usual = st.characters(exclude_characters=separators + "\r\n", exclude_categories=["Cs"])
    return st.text(usual | st.sampled_from(plain + ODD), min_size=1, max_size=6)


def tagged(token: st.SearchStrategy[str], tag: st.SearchStrategy[str]) -> st.SearchStrategy:
    """Lists of `TaggedSentence`."""
    pairs = st.lists(st.tuples(token, tag), min_size=1, max_size=5)
    sentence = pairs.map(lambda pairs: TaggedSentence(*map(tuple, zip(*pairs, strict=True))))
    return st.lists(sentence, min_size=1, max_size=4)


class FileLayout(NamedTuple):
    """What stands around the lines of a file. A ¶ is a line end."""

    mark: str
    blank_lines_at_start: str
    line_end: str
    more_blank_lines: str
    ends_last_line: bool


def layouts() -> st.SearchStrategy[FileLayout]:
    blank_lines = st.sampled_from(["", "", "¶", "¶¶"])
    return st.builds(
        FileLayout,
        mark=st.sampled_from(["", "\ufeff"]),
        blank_lines_at_start=blank_lines,
        line_end=st.sampled_from(["\n", "\r\n"]),
        more_blank_lines=blank_lines,
        ends_last_line=st.booleans(),
    )


def arrange(sentences: list[list[str]], layout: FileLayout) -> str:
    """The text of a file with the lines of these sentences."""
    text = f"¶¶{layout.more_blank_lines}".join("¶".join(lines) for lines in sentences)
    if layout.ends_last_line:
        text += "¶"
    return layout.mark + (layout.blank_lines_at_start + text).replace("¶", layout.line_end)


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpora") / "corpus"

    def write(content: str | bytes) -> Path:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def parsed(text: str) -> list:
    return list(parse_conllu(io.StringIO(text, newline="\n"), "here"))


# ---------------------------------------------------------------------------------------------- CoNLL-U


@settings(deadline=None)
@given(
    tagged(words("\t¶"), words("\t¶").filter(lambda tag: tag != "_")),
    layouts(),
    st.sampled_from(["upos", "xpos", "deprel", "lemma"]),
)
def test_conllu_is_read_as_written(write, sentences, layout, column):
    place = CONLLU_COLUMNS.index(column)
    blocks = []
    for sentence in sentences:
        lines = ["# sent_id = 1", "1-2\tmany\t" + "\t".join(["_"] * 8), "0.1\tnone\t" + "\t".join(["_"] * 8)]
        for number, (token, tag) in enumerate(zip(sentence.tokens, sentence.tags, strict=True), 1):
            fields = [str(number), token] + ["_"] * 8
            fields[place] = tag
            lines.append("\t".join(fields))
        blocks.append(lines)
    assert list(read_conllu(write(arrange(blocks, layout)), column)) == sentences


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("form", TOKENS),
        ("upos", ("ADP", "DET", "NOUN", "ADJ")),
        ("head", ("4", "4", "0", "4")),
        ("feats", ("_", "Gender=Masc|Number=Sing", "Number=Sing", "_")),
        ("feats:Number", ("_", "Sing", "Sing", "_")),
        ("misc:NER", ("_", "O", "B-LOC", "_")),
        ("misc:SpaceAfter", ("_", "_", "No", "No")),
    ],
)
def test_conllu_columns_and_keys(write, column, values):
    assert list(read_conllu(write(SENTENCE), column)) == [TaggedSentence(TOKENS, values)]


@settings(deadline=None)
@given(
    st.data(),
    layouts(),
    st.sampled_from(["upos", "form", "feats", "misc", "feats:Case", "misc:NER", "misc:Z"]),
)
def test_with_column_changes_that_column_and_no_other_byte(data, layout, column):
    block = SENTENCE.rstrip("\n").split("\n")
    text = arrange([block, block[1:], ["# alone"], block], layout)
    text += data.draw(st.sampled_from(["", "\n\n# end"]))
    rows = parsed(text)
    assert [row.tokens for row in rows] == [TOKENS] * 3
    assert "".join(line for row in rows for line in row.lines) == text
    value = words("\t|=¶").filter(lambda value: value != "_" or ":" in column)
    values = [data.draw(st.tuples(*[value] * len(TOKENS))) for _ in rows]
    written = "".join(row.with_column(column, new) for row, new in zip(rows, values, strict=True))
    assert [row.column(column) for row in parsed(written)] == values
    place = CONLLU_COLUMNS.index(column.split(":")[0])
    for before, after in zip(text.split("\n"), written.split("\n"), strict=True):
        old, new = before.split("\t"), after.split("\t")
        assert old[:place] == new[:place]
        assert old[place + 1 :] == new[place + 1 :]
        assert old[-1].endswith("\r") == new[-1].endswith("\r")
        is_word = len(old) == 10 and "-" not in old[0] and "." not in old[0]
        if not is_word:
            assert old == new
    pairs = zip(rows, parsed(written), strict=True)
    assert "".join(new.with_column(column, old.column(column)) for old, new in pairs) == text


def test_with_column_puts_keys_in_order_and_removes_them():
    (row,) = parsed(SENTENCE)
    feats = row.with_column("feats:Case", ["Nom"] * 4)
    assert [line.split("\t")[5] for line in feats.split("\n") if "Nom" in line] == [
        "Case=Nom",
        "Case=Nom|Gender=Masc|Number=Sing",
        "Case=Nom|Number=Sing",
        "Case=Nom",
    ]
    assert "Gender=Masc|Mood=x|Number=Sing" in row.with_column("feats:Mood", ["x"] * 4)
    removed = parsed(row.with_column("misc:NER", ["_"] * 4))[0]
    assert removed.column("misc") == ("_", "_", "A=1|SpaceAfter=No", "NERO=7|SpaceAfter=No")


@pytest.mark.parametrize(
    ("values", "column"),
    [(["X"] * 3, "upos"), (["X"] * 5, "upos"), (["X", "", "X", "X"], "upos"), (["a\tb"] * 4, "upos")]
    + [(["a\n"] * 4, "form"), (["a|b"] * 4, "misc:NER")],
)
def test_with_column_refuses_values_that_would_break_the_file(values, column):
    with pytest.raises(DataError, match=r"here:1: expected"):
        parsed(SENTENCE)[0].with_column(column, values)


def test_only_a_line_feed_ends_a_line(write):
    """A carriage return elsewhere belongs to its word, as U+2028 does."""
    assert list(read_conllu(write(WORD.replace("a", "a\rb\u2028c")))) == [TaggedSentence(("a\rb\u2028c",), ("X",))]
    assert list(read_columns(write("a\rb\u2028c O\r\n"))) == [TaggedSentence(("a\rb\u2028c",), ("O",))]


def test_lines_between_sentences_belong_to_the_next_sentence():
    texts = ["\n# first\n" + WORD + "\n", "\n# alone\n\n# second\n" + WORD + "\n", WORD + "\n\n# end"]
    rows = parsed("".join(texts))
    assert ["".join(row.lines) for row in rows] == texts
    assert [row.first_line for row in rows] == [1, 5, 11]


def test_sentences_are_parsed_before_the_stream_ends():
    lines = iter((SENTENCE * 1000).splitlines(keepends=True))
    first = next(parse_conllu(lines, "here"))
    assert first.tokens == TOKENS
    assert len(list(lines)) > 990 * SENTENCE.count("\n")


# ---------------------------------------------------------------------------------------- column files


@settings(deadline=None)
@given(tagged(words(" \t¶"), words(" \t¶")), layouts(), st.sampled_from([" ", "\t", "  ", " \t"]), st.booleans())
def test_columns_are_read_as_written(write, sentences, layout, separator, tag_first):
    blocks = [["-DOCSTART- O"]] if tag_first else []
    for sentence in sentences:
        pairs = zip(sentence.tags, sentence.tokens, strict=True)
        # The extra column keeps tokens away from the start of the line, where -DOCSTART- and the mark are recognised.
        blocks.append([separator.join(["x", *(pair if tag_first else pair[::-1])]) for pair in pairs])
    path = write(arrange(blocks, layout))
    assert list(read_columns(path, *((2, 1) if tag_first else (-2, -1)))) == sentences


def test_the_columns_of_conll_2003(write):
    path = write("-DOCSTART- -X- O\n\nEU NNP B-ORG\n# SYM O\n-DOCSTART- -X-\nof IN O")
    assert list(read_columns(path)) == [
        TaggedSentence(("EU", "#"), ("B-ORG", "O")),
        TaggedSentence(("of",), ("O",)),
    ]
    assert next(read_columns(path, tag_column=1)).tags == ("NNP", "SYM")


# ---------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("content", "column", "line", "said"),
    [
        (WORD + "2\tb\n", "upos", 2, ["expected 10 columns", "got 2", "format columns"]),
        ("# c\n\n" + WORD.replace("\t_\n", "\t_\t_\n"), "upos", 3, ["expected 10 columns", "got 11"]),
        (WORD + WORD.replace("1\ta\t", "2\t\t"), "upos", 2, ["_ for no value", "1 of them empty"]),
        (WORD.replace("\t_\n", "\t\r\n"), "upos", 1, ["1 of them empty"]),
        (WORD + WORD, "upos", 2, ["expected word id 2, got '1'", "blank line"]),
        ("\n" + WORD.replace("1", "2"), "upos", 2, ["expected word id 1, got '2'"]),
        (WORD + WORD.replace("1", "x"), "upos", 2, ["expected word id 2, got 'x'"]),
        (WORD + "\n" + WORD + WORD.replace("1", "2").replace("X", "_"), "xpos", 4, ["column xpos is empty"]),
        ("#\n" + WORD.replace("0\troot", "_\troot"), "head", 2, ["column head is empty"]),
        (WORD, "misc:NER", None, ["NER=...", "column misc:NER is empty", "may not have it"]),
        (WORD, "feats:number", None, ["column feats:number is empty", "capitals"]),
        (WORD + "\u3000\n", "upos", 2, ["expected 10 columns", "got 1"]),
        ("", "upos", None, ["expected CoNLL-U sentences", "without a word"]),
        ("\n# only a comment\n\n", "upos", None, ["without a word"]),
    ],
)
def test_conllu_errors_say_where_and_what(write, content, column, line, said):
    path = write(content)
    with pytest.raises(DataError) as error:
        list(read_conllu(path, column))
    message = str(error.value)
    assert message.startswith(f"{path}:{line}: expected" if line else f"{path}: expected")
    assert all(part in message for part in said), message


@pytest.mark.parametrize(
    ("column", "close"),
    [("upso", "upos"), ("UPOS", "upos"), ("Misc:NER", "misc:KEY"), ("feats:", "feats:KEY"), ("zzz", None)]
    + [("upos:Number", "feats:KEY"), ("id", None), ("", None)],
)
def test_the_error_for_an_unknown_column_lists_the_known_ones(write, column, close):
    with pytest.raises(DataError) as error:
        list(read_conllu(write(WORD), column))
    message = str(error.value)
    assert f"unknown column {column!r}" in message
    assert all(name in message for name in ("form", "upos", "misc", "feats:KEY", "misc:KEY"))
    if close and column != "upos:Number":
        assert message.endswith(f"did you mean {close}?")


@pytest.mark.parametrize(
    ("content", "columns", "line", "said"),
    [
        ("a O\n\nb X O\n", (0, -1), 3, ["expected 2 columns as in line 1, got 3", "blank line"]),
        ("a X O\nb O\n", (0, -1), 2, ["expected 3 columns as in line 1, got 2"]),
        ("\n\nabc\n", (0, -1), 3, ["got 1 columns", "space or a tab"]),
        ("a O\n\xa0\n", (0, -1), 2, ["expected 2 columns", "got 1"]),
        ("a O\n", (0, 2), 1, ["column 2 for --data.column", "got 2 columns: 0 'a', 1 'O'"]),
        ("a O\n", (-3, 1), 1, ["column -3 for --data.word_column", "got 2 columns"]),
        ("", (0, -1), None, ["without a word"]),
        (" \n-DOCSTART- O\n\t\n", (0, -1), None, ["without a word"]),
    ],
)
def test_column_errors_say_where_and_what(write, content, columns, line, said):
    path = write(content)
    with pytest.raises(DataError) as error:
        list(read_columns(path, *columns))
    message = str(error.value)
    assert message.startswith(f"{path}:{line}: expected" if line else f"{path}: expected")
    assert all(part in message for part in said), message


@pytest.mark.parametrize("line", [1, 2, 3, 700, 5000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("read", [read_conllu, read_columns])
def test_the_error_for_other_encodings_names_the_line_of_the_byte(write, read, line, mark):
    lines = [(WORD.replace("a", "é\u2028") + "\n").encode()] * 2501
    lines = b"".join(lines).split(b"\n")
    lines[line - 1] += b"# M\xfcller"
    path = write(mark + b"\n".join(lines))
    with pytest.raises(DataError) as error:
        list(read(path))
    assert str(error.value).startswith(f"{path}:{line}: expected UTF-8 text, got the byte 0xfc")
    assert "iconv" in str(error.value)


@pytest.mark.parametrize("read", [read_conllu, read_columns])
def test_a_file_that_cannot_be_opened_is_named(tmp_path, read):
    for path in (tmp_path / "absent.conllu", tmp_path):
        with pytest.raises(DataError) as error:
            list(read(path))
        assert str(error.value).startswith(f"{path}: expected a file to read, got")
