"""Files of tagged sentences: each format is recognised, only words are read as words, and other files are refused."""

from __future__ import annotations

import json
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outcomes import result_or_error

from datamodules.errors import DataError
from datamodules.examples import TaggedSentence
from datamodules.readers.column_files import read_columns
from datamodules.readers.conllu import parse_conllu, read_conllu
from datamodules.readers.tagged_files import FORMATS, format_of, read_tagged, read_token_lists
from datamodules.tagging import TaggingDataModule

CONLLU = "1\tGo\tgo\tVERB\tVB\t_\t0\troot\t_\tNER=O\n2\t!\t!\tPUNCT\t.\t_\t1\tpunct\t_\t_\n\n"
LENA = [TaggedSentence(("lena", "sings"), ("B-PER", "O"))]


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")

    def write(content: str | bytes, name: str = "corpus.txt"):
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# ------------------------------------------------------------------------------------------- which format


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.conllu", "", "conllu"),
        ("a.CONLLU.txt", "", "conllu"),
        ("a.conllup", "", "conllu"),
        ("a.jsonl", "", "jsonl"),
        ("a.ndjson", "", "jsonl"),
        ("a.json.xz", "", "jsonl"),
        ("a.parquet", "", "parquet"),
        ("a.txt", CONLLU, "conllu"),
        ("a.conll", "# sent_id = 1\n# text = Go !\n\n" + CONLLU, "conllu"),
        ("a.conll", "1-2\t" + CONLLU[2:], "conllu"),
        ("a.txt", "# global.columns = ID FORM UPOS\n1\tGo\tVERB\n", "conllu"),
        ("a.txt", '\n{"tokens": ["Go"], "tags": ["X"]}\n', "jsonl"),
        ("a.txt", "{ PUNCT\nGo VERB\n", "columns"),
        ("a.conll", "Go VERB\n", "columns"),
        ("a.bmes", "Go\tVB\t1\t2\t3\t4\t5\t6\t7\tB-X\n", "columns"),
        ("a.txt", "", "columns"),
    ],
)
def test_the_ending_or_the_first_line_tells_the_format(write, name, content, format):
    assert format_of(write(content, name)) == format


@pytest.mark.parametrize(
    ("name", "content", "got"),
    [
        ("a.ann", "T1\tPER 0 4\tLena\n", "ends in .ann"),
        ("a.txt", "T1\tPER 0 4\tLena\nT2\tLOC 9 13\tBonn\n", "a.txt:1.*beside a text"),
        ("a.csv", "word,tag\n", "ends in .csv"),
        ("a.xlsx", "", "ends in .xlsx"),
        ("a.txt", "The/DT cat/NN\nA/DT dog/NN\n", "a.txt:1: .*'The/DT' and 'cat/NN'.*--data.format columns"),
        ("a.txt", "The_DT cat_NN sat_VB\nA_DT dog_NN ran_VB\n\nThe_DT rat_NN ran_VB\n", "pieces such as 'The_DT'"),
    ],
)
def test_other_formats_are_refused_unless_asked_for(write, name, content, got):
    path = write(content, name)
    with pytest.raises(DataError, match=got):
        list(read_tagged(path))
    if "\t" in content or "/" in content:
        assert list(read_tagged(path, format="columns"))


def test_a_slash_inside_some_words_does_not_join_word_and_tag(write):
    assert list(read_tagged(write("km/h N/A\n/ /\nand/or CC/X\n")))


# ------------------------------------------------------------------------------------------- column files


@pytest.mark.parametrize(
    "content",
    [
        "# id 5b5f0b2a\tdomain=en\nlena _ _ B-PER\nsings _ _ O\n\n",
        "# newdoc\nlena B-PER\nsings O\n\n",
        "#\thttp://n-tv.de/archiv/1 [2009-10-21]\n1\tlena\tB-PER\tO\n2\tsings\tO\tO\n\n",
        "#begin document (bc/cctv/00/cctv_0000); part 000\nlena - B-PER\nsings - O\n\n#end document\n",
        "#\n# a\n# a comment of many words\nlena B-PER\nsings O\n",
        "1\tlena\tB-PER\n2\tsings\tO\n",
        "0 lena B-PER\n1 sings O\n",
        "\ufefflena B-PER\n\ufeffsings O\n",
        "-DOCSTART- -X-\n\n\ufeff-DOCSTART- -X-\nlena B-PER\nsings O\n",
    ],
)
def test_comments_and_counts_are_not_read_as_words(write, content):
    column = "2" if "archiv" in content else None
    assert list(read_tagged(write(content), column)) == LENA


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("# O\nEU B-ORG\nof O\n", ("#", "EU", "of")),  # other lines have the same tag
        ("# SYM O\nEU NNP B-ORG\nof IN O\n", ("#", "EU", "of")),
        ("EU B-ORG\n# SYM\n", ("EU", "#")),  # a comment stands before the first word
        ("#\tSYM\nEU\tX\n# 1\tX\n", ("#", "EU", "# 1")),
        ("#Yankees B-team\n# B-team\nrule O\n", ("#Yankees", "#", "rule")),
        ("# X\n# Y\n", ("#", "#")),  # the file would be empty otherwise
        ("1 CD\n2 CD\n3. X\n", ("1", "2", "3.")),  # otherwise no column would be left for the words
        ("2 CD O\n3 CD O\nmen N O\n", ("2", "3", "men")),
    ],
)
def test_words_that_look_like_comments_or_counts_are_read(write, content, tokens):
    (sentence,) = list(read_tagged(write(content)))
    assert sentence.tokens == tokens


def test_the_line_of_each_word_is_kept(write):
    path = write("# newdoc\na X\n\n\n# newdoc\nb X\nc Y\n")
    assert [sentence.lines for sentence in read_columns(path)] == [(2,), (6, 7)]
    path = write("# c\n\n# c\n1-2\tab" + "\t_" * 8 + "\n" + CONLLU + CONLLU, "lines.conllu")
    assert [sentence.lines for sentence in read_conllu(path)] == [(5, 6), (8, 9)]


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("1 B-X\n2 O\n", {}, ":1: expected words in column 0.*numbers alone.*--data.word_column.*0 '1', 1 'B-X'"),
        ("7 a X\n7 b X\n", {}, ":1: expected words in column 0.*--data.word_column"),
        ("a X\n", {"column": "upos"}, ":1: expected a number for --data.column.*got 'upos'.*0 'a', 1 'X'.*conllu"),
        ("a X\n", {"word_column": "form"}, ":1: expected a number for --data.word_column"),
        ("a X\n", {"column": "2"}, ":1: expected a column 2 for --data.column"),
        ("a b\tX\n" * 12, {}, ":1: expected columns with tabs between them all"),
        ("a\tX\nb X\n", {}, ":2: expected 2 columns as in line 1, got 1. Tabs separate columns here"),
        ("#begin document (a); part 000\n\n#end document\n", {}, "comments alone"),
        ("_ X\n_ Y\n", {}, ":1: expected words, got _ for each of a sentence: its text is withheld"),
    ],
)
def test_columns_without_words_and_tags_are_explained(write, content, options, said):
    with pytest.raises(DataError, match=said):
        list(read_tagged(write(content), **options))


def test_the_column_of_the_words_can_be_chosen(write):
    path = write("7 a X\n7 b Y\n")
    assert list(read_tagged(path, word_column="1")) == [TaggedSentence(("a", "b"), ("X", "Y"))]
    assert next(read_tagged(path, word_column="0")).tokens == ("7", "7")
    assert next(read_tagged(write("1 a X\n2 b Y\n"), "1", word_column="0")) == TaggedSentence(("1", "2"), ("a", "b"))
    assert next(read_tagged(write(CONLLU, "a.conllu"), word_column="lemma")).tokens == ("go", "!")


# ------------------------------------------------------------------------------------------------ CoNLL-U


PLUS = (
    "# global.columns = ID FORM UPOS NER PARSEME:MWE\n# text = Go !\n1-2\tGo!\t_\t_\t_\n"
    "1\tGo\tVERB\tB-X\t1:VID\n2\t!\tPUNCT\tO\t*\n\n1\tGo\tVERB\tO\t*\n"
)


@pytest.mark.parametrize(
    ("column", "tags"),
    [("upos", ("VERB", "PUNCT")), ("NER", ("B-X", "O")), ("ner", ("B-X", "O")), ("parseme:mwe", ("1:VID", "*"))],
)
def test_conllu_plus_is_read_by_the_names_of_its_columns(write, column, tags):
    first, second = list(read_tagged(write(PLUS, "a.conllup"), column))
    assert first == TaggedSentence(("Go", "!"), tags)
    assert second.lines == (7,)


def test_conllu_plus_is_written_back_as_it_was(write):
    with open(write(PLUS, "a.conllup"), encoding="utf-8", newline="\n") as stream:
        rows = list(parse_conllu(stream, "here"))
    assert "".join(line for row in rows for line in row.lines) == PLUS
    changed = "".join(row.with_column("ner", ["B-Y"] * len(row)) for row in rows)
    assert changed == PLUS.replace("B-X", "B-Y").replace("\tO\t", "\tB-Y\t")


@pytest.mark.parametrize(
    ("content", "column", "said"),
    [
        (PLUS, "xpos", "unknown column 'xpos': expected one of form, upos, NER, PARSEME:MWE"),
        (PLUS.replace("FORM", "WORD"), "upos", ":1: expected names of columns.*FORM"),
        (PLUS.replace("NER", "UPOS"), "upos", ":1: expected names of columns.*two columns upos"),
        (PLUS.replace("\t1:VID", ""), "upos", ":4: expected 5 columns"),
        (CONLLU.replace("Go", "_").replace("!", "_"), "upos", ":1: expected words, got _"),
    ],
)
def test_conllu_plus_errors_say_where_and_what(write, content, column, said):
    with pytest.raises(DataError, match=said):
        list(read_tagged(write(content, "a.conllup"), column))


def test_a_word_without_the_key_is_outside_of_spans(write):
    keyed = CONLLU.replace("NER=O", "NER=B-X") + CONLLU.replace("NER=O", "_")
    data = TaggingDataModule(train=str(write(keyed, "a.conllu")), column="misc:NER")
    assert list(data.codec.tags) == ["O", "B-X"]
    assert data.codec.scheme == "BIO"


# ------------------------------------------------------------------------------------------ scheme and tags

MANY = "Lena B-PER\nMeyer I-PER\nsings O\nin O\nBonn B-LOC\n\n" * 50


@pytest.mark.parametrize("odd", ["o", "X", "B-", "O\u00a0", "B_PER", "E-PER", "_"])
@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_tag_outside_the_scheme_is_named_with_its_line(write, odd, split):
    train, broken = write(MANY, "train.txt"), write(f"{MANY}# note\n\nOmar {odd}\n", "broken.txt")
    files = {"train": str(train), "dev": str(train), split: str(broken)}
    with pytest.raises(DataError, match=r"broken.txt:303: expected a tag of scheme BIO.*--data.scheme none"):
        TaggingDataModule(**files).sentences(split)
    data = TaggingDataModule(**files, scheme="none")
    assert data.sentences(split)[-1].tags == (odd,)
    assert data.codec.scheme is None


def test_parts_of_speech_are_not_spans(write):
    path = write("a X\nb NOUN\nc M\nd O\ne S\nf B\n\n", "pos.txt")
    data = TaggingDataModule(train=str(path))
    assert data.sentences("train")[0].tags == ("X", "NOUN", "M", "O", "S", "B")
    assert data.codec.scheme is None


def test_a_corpus_with_a_single_tag_is_refused(write):
    path = write("a O\nb O\n\nc O\n", "one.txt")
    with pytest.raises(DataError, match="one.txt: expected at least two different tags, got only 'O'.*--data.column"):
        TaggingDataModule(train=str(path), dev=str(path)).setup("fit")


def test_bilou_is_read_and_converted(write):
    path = str(write("Lena B-PER\nMeyer L-PER\nsings O\nin O\nBonn U-LOC\n", "bilou.txt"))
    assert TaggingDataModule(train=path).codec.scheme == "BILOU"
    data = TaggingDataModule(train=path, convert_to="BIO")
    assert data.sentences("train")[0].tags == ("B-PER", "I-PER", "O", "O", "B-LOC")
    assert data.codec.scheme == "BIO"


def test_a_needless_b_of_iob1_begins_a_span_when_it_is_converted(write):
    """CoNLL-2003 has two such tags."""
    tags = ["I-PER", "B-PER", "O", "B-MISC", "I-MISC", "I-LOC", "B-MISC"]
    path = str(write("".join(f"word {tag}\n" for tag in tags), "iob1.txt"))
    data = TaggingDataModule(train=path, scheme="IOB1", convert_to="BIOES")
    converted = ("S-PER", "S-PER", "O", "B-MISC", "E-MISC", "S-LOC", "S-MISC")
    assert data.sentences("train")[0].tags == converted


def test_the_training_split_tells_the_scheme(write):
    """The test split by itself looks like BIOES."""
    files = {"train": "a B-X\nb M-X\nc E-X\nd O\n", "test": "a S-X\nb O\n"}
    data = TaggingDataModule(**{name: str(write(text, f"{name}.bmes")) for name, text in files.items()})
    assert data.sentences("test")[0].tags == ("S-X", "O")
    assert data.codec.scheme == "BMES"


# ---------------------------------------------------------------------------------------- all of them

TOKEN = st.text(
    st.characters(exclude_characters="\t\r\n", exclude_categories=["Cs"]) | st.sampled_from("ab #-_/1{"), min_size=1
).filter(lambda token: token.strip(" ") == token and token != "_")
TAG = st.sampled_from(["NOUN", "X", "<pad>", "#", "new doc", "B-PER"])
SENTENCES = st.lists(
    st.lists(st.tuples(TOKEN, TAG), min_size=1, max_size=4).map(
        lambda pairs: TaggedSentence(*map(tuple, zip(*pairs, strict=True)))
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(SENTENCES)
@example([TaggedSentence(("New York", "#"), ("B-LOC", "X"))])
def test_files_that_predict_wrote_are_restored(write, sentences):
    """They are TSV or JSON Lines, and words may have spaces inside."""
    lines = [
        json.dumps({"tokens": s.tokens, "tags": s.tags}, ensure_ascii=False) + "\n" for s in [*sentences, *sentences]
    ]
    lines.insert(1, '{"tokens": [], "tags": []}\n')
    assert list(read_tagged(write("".join(lines), "a.jsonl"))) == [*sentences, *sentences]
    words = [token for s in sentences for token in s.tokens]
    # A first word that may be a comment follows a rule of its own, as does a mark at the start of a line.
    if any(token.startswith(("# ", "#begin doc", "#end doc", "\ufeff", "-DOCSTART-")) for token in words):
        return
    if all(" " in token for token in words):
        return
    pairs = [zip(s.tokens, s.tags, strict=True) for s in sentences]
    text = "\n".join("".join(f"{word}\t{tag}\n" for word, tag in pair) for pair in pairs)
    assert list(read_columns(write(text, "a.tsv"), 0)) == sentences


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60) | st.text(st.sampled_from('ab#1_\t\n -\ufeff{"}[]:,/B\r'), max_size=60).map(str.encode))
@example(b"# global.columns = ID\n")
@example(b'{"tokens": [[]], "tags": [1]}')
@example(b'{"tokens": {}, "tags": null}\n')
@example(b"\x1f\x8b\x08")
def test_random_bytes_are_read_or_raise_a_data_error(write, content):
    path = write(content, "random.txt")

    def read(format: str | None) -> list[TaggedSentence]:
        return list(read_tagged(path, format=format))

    for format in (None, *FORMATS):
        sentences = result_or_error(partial(read, format), DataError)
        if isinstance(sentences, DataError):
            assert str(sentences)
        else:
            assert sentences
            for sentence in sentences:
                assert len(sentence.tokens) == len(sentence.tags) == len(sentence.lines) > 0
                assert all(sentence.tokens)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"tokens": ["a"], "tags": ["X", "Y"]}', "a.jsonl:1: expected a tag for each of 1 words, got 2"),
        ('{"tokens": "a b", "tags": ["X", "Y"]}', "a.jsonl:1: expected a list of texts as 'tokens', got 'a b'"),
        ('{"tokens": ["a"], "tags": [3]}', "a.jsonl:1: expected texts.*in 'tags', got 3.*names of tags"),
        ('{"tokens": [""], "tags": ["X"]}', "a.jsonl:1: expected texts that are not empty in 'tokens'"),
        ('{"tokens": [], "tags": []}', "a.jsonl: expected sentences"),
        ('{"words": ["a"], "tags": ["X"]}', "a.jsonl:1: expected a column tokens, got words, tags"),
    ],
)
def test_json_lines_without_sentences_are_explained(write, content, said):
    with pytest.raises(DataError, match=said):
        list(read_token_lists(write(content + "\n", "a.jsonl")))


def test_the_keys_of_json_lines_can_be_chosen(write):
    path = write('{"id": 1, "words": ["a"], "ner": ["B-X"]}\n', "a.jsonl")
    assert list(read_tagged(path, "ner", word_column="words")) == [TaggedSentence(("a",), ("B-X",))]
