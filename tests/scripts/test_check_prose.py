"""The prose check finds the phrases that its rules name, and nothing in plain text."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_prose
from scripts.check_prose import MOST_EXCEPTIONS, PENDING, check_all, check_file, main
from scripts.prose_text import markdown_blocks, python_blocks, sql_blocks

ALLOW = "prose: " + "allow"  # in one piece it would be an exception of this file
LONG = "A sentence goes on " + "and on " * 20 + "until nobody remembers its start."


def findings(root: Path, name: str, text: str) -> list[tuple[int, str]]:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    return [(finding.line, finding.rule) for finding in check_file(root, name)[0]]


@pytest.mark.parametrize(
    ("sentence", "rule"),
    [
        ("Who does not say when it was read is believed.", "who-clause"),
        ("Whose turn it is waits.", "who-clause"),
        ("Replicas need no leader: whoever loses looks again.", "whoever"),
        ("What a socket holds is known here.", "what-clause"),
        ("Whatever was sent is dropped.", "what-clause"),
        ("A silent instance of its is out of routing.", "of-its"),
        ("It removes the leases of its.", "of-its"),
        ("A user may read his rows.", "gendered-pronoun"),
        ("The organisation has members.", "organisation"),
        ("Its id is not to be had.", "to-be-had"),
        ("The write-back is owed.", "coinage"),
        ("The keeper vouches for itself.", "coinage"),
        (LONG, "long-sentence"),
    ],
)
def test_each_rule_names_its_finding(tmp_path: Path, sentence: str, rule: str) -> None:
    assert findings(tmp_path, "module.py", f'"""{sentence}"""\n') == [(1, rule)]
    assert findings(tmp_path, "page.md", f"# Title\n\n{sentence}\n") == [(3, rule)]
    assert findings(tmp_path, "query.sql", f"select 1;\n-- {sentence}\n") == [(2, rule)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Who may call it?",
        "What does a lease do?",
        "Return the sessions whose lease has ended.",
        "Each instance has a lease of its own.",
        "It tells a caller what to do.",
        "The help says what is missing, e.g. A or B.",
        "Call `hall.owed` for the organization.",
        "The hallway is open to them.",
    ],
)
def test_plain_sentences_have_no_finding(tmp_path: Path, sentence: str) -> None:
    assert findings(tmp_path, "module.py", f'"""{sentence}"""\n') == []
    assert findings(tmp_path, "page.md", f"{sentence}\n") == []


def test_a_finding_in_a_docstring_has_the_line_of_its_word(tmp_path: Path) -> None:
    assert findings(tmp_path, "module.py", '"""Read rows.\n\nA row that\nis owed waits.\n"""\n') == [(4, "coinage")]


def test_comments_on_successive_lines_are_one_sentence(tmp_path: Path) -> None:
    half = " ".join(["word"] * 20)
    assert findings(tmp_path, "module.py", f"# {half}\n# {half}\n") == [(1, "long-sentence")]
    assert findings(tmp_path, "module.py", f"# {half}.\n\n# {half}\n") == []
    assert findings(tmp_path, "module.py", f"a = 1  # {half}\nb = 2  # {half}\n") == []


def test_a_linter_pragma_is_no_prose_but_its_reason_is(tmp_path: Path) -> None:
    assert findings(tmp_path, "module.py", "a = 1  # noqa: ERA001, S608  whoever reads it\n") == [(1, "whoever")]
    assert [block.text.strip() for block in python_blocks("a = 1  # type: ignore[misc]  # untyped\n")] == ["untyped"]


def test_messages_are_checked_for_words_but_not_for_length(tmp_path: Path) -> None:
    assert findings(tmp_path, "module.py", 'raise ValueError(f"{name} is owed to his organization")\n') == [
        (1, "gendered-pronoun"),
        (1, "coinage"),
    ]
    assert findings(tmp_path, "module.py", f'log("{LONG}")\n') == []
    assert findings(tmp_path, "module.py", 'key = "hall of"\n') == []


def test_the_data_of_tests_is_not_checked(tmp_path: Path) -> None:
    assert findings(tmp_path, "tests/test_module.py", 'assert reply == "this is for his organization"\n') == []
    assert findings(tmp_path, "tests/test_module.py", '"""It is his."""\n') == [(1, "gendered-pronoun")]


def test_texts_of_comment_on_and_messages_of_sql_are_checked(tmp_path: Path) -> None:
    sql = f"comment on function f is\n  '{LONG}';\nraise exception 'this is owed to somebody';\n/* It is\nhis. */\n"
    assert findings(tmp_path, "query.sql", sql) == [(2, "long-sentence"), (3, "coinage"), (5, "gendered-pronoun")]


def test_comments_of_typescript_are_checked_and_strings_are_not(tmp_path: Path) -> None:
    source = (
        'const a = "// whoever";\n/**\n * Read rows.\n * Whoever reads.\n */\nlet b = `https://whoever`; // it is his\n'
    )
    assert findings(tmp_path, "module.ts", source) == [(4, "whoever"), (6, "gendered-pronoun")]


def test_fences_generated_tables_and_examples_are_skipped() -> None:
    page = "A.\n\n```\nWhoever\n```\n\n<!-- [[[cog\nx\n]]] -->\n| Whoever |\n<!-- [[[end]]] -->\n\n| cell | `code` |\n|---|---|\n"
    assert [block.text.strip() for block in markdown_blocks(page)] == ["A.", "cell", "`xxxx`"]
    docstring = '"""Read.\n\n    python -m whoever\n\n├── whoever\n"""\n'
    assert [block.text.strip() for block in python_blocks(docstring)] == ["Read."]
    assert list(sql_blocks("select 'a', 'whoever' -- name: x\n")) == []


def test_an_exception_excuses_one_rule_of_one_paragraph(tmp_path: Path) -> None:
    excused = f"# {ALLOW} whoever (a quotation)\n# Whoever it is.\n"
    assert findings(tmp_path, "module.py", excused) == []
    assert findings(tmp_path, "module.py", excused + "\n\n\n# Whoever it is.\n") == [(6, "whoever")]
    assert findings(tmp_path, "module.py", f'"""Whoever.\n\nMore.\n"""  # {ALLOW} whoever (a quotation)\n') == []
    assert findings(tmp_path, "page.md", f"<!-- {ALLOW} whoever (a title) -->\nWhoever it is.\n") == []
    assert findings(tmp_path, "query.sql", f"-- {ALLOW} whoever (a title)\n-- Whoever it is.\n") == []


def test_an_exception_that_excuses_nothing_is_a_finding(tmp_path: Path) -> None:
    assert findings(tmp_path, "module.py", f"# {ALLOW} whoever (a quotation)\n") == [(1, "unused-exception")]


def test_many_exceptions_are_an_error(tmp_path: Path) -> None:
    text = f"# {ALLOW} whoever (a quotation)\n# Whoever it is.\n\n\n"
    (tmp_path / "module.py").write_text(text * MOST_EXCEPTIONS)
    assert check_all(tmp_path) == []
    (tmp_path / "module.py").write_text(text * (MOST_EXCEPTIONS + 1))
    assert [error.partition(":")[0] for error in check_all(tmp_path)] == [
        f"more than {MOST_EXCEPTIONS} exceptions, rewrite a sentence instead"
    ]


@pytest.fixture
def old_files(tmp_path: Path) -> Path:
    for name, text in {
        "old/bad.py": "# Whoever it is.\n",
        "old/good.py": "# Fine.\n",
        "new/good.py": "# Fine.\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "scripts").mkdir()
    return tmp_path


def test_pending_files_are_not_checked(old_files: Path) -> None:
    assert [error.split(": ")[1] for error in check_all(old_files)] == ["whoever"]
    (old_files / PENDING).write_text("# head\nold/*\n")
    assert check_all(old_files) == []


@pytest.mark.parametrize("entry", ["new/*", "old/good.py", "gone/*"])
def test_a_pending_entry_without_a_finding_is_an_error(old_files: Path, entry: str) -> None:
    (old_files / PENDING).write_text(f"old/*\n{entry}\n")
    assert check_all(old_files) == [f"{PENDING}: {entry}: nothing is left to rewrite, remove this line"]


def test_the_pending_list_shrinks_to_the_files_with_findings(old_files: Path) -> None:
    (old_files / PENDING).write_text("old/*\n")
    (old_files / "new/bad.py").write_text("# Whoever it is.\n")
    assert main(["--pending"], old_files) == 0
    assert check_prose.read_pending(old_files) == ["old/bad.py"]


def test_named_paths_are_checked_although_they_are_pending(old_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (old_files / PENDING).write_text("old/*\n")
    assert main([], old_files) == 0
    assert main(["old"], old_files) == 1
    assert capsys.readouterr().out.startswith("old/bad.py:1: whoever: 'Whoever it is.': name the subject")
