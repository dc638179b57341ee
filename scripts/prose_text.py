"""Extract prose from files: docstrings, comments, messages and Markdown, with their line numbers.

Code spans and URLs are blanked. Fenced code, generated Markdown, indented examples, drawings and linter pragmas are
skipped.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["docstring", "comment", "message", "markdown"]
NumberedLine = tuple[int, str]

MESSAGE_WORDS = 4
"""A string literal of fewer words is a key, an identifier or a format."""

EXAMPLE_INDENT = 4
"""Lines of a docstring that are indented by as much are an example."""

_WORD = re.compile(r"[A-Za-z][\w'-]*")
_SPAN = re.compile(r"(`+)(.+?)\1|https?://[^\s)>]+|(?<=\])\([^)\s]*\)|<[^<>\s][^<>]*>")
_SENTENCE_END = re.compile(r"""(?<!e\.g)(?<!i\.e)(?<!vs)(?<!cf)[.!?]["')\]*_]*\s+(?=["'(\[*_]*[A-Z0-9`])|\s·\s""")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_DRAWING = re.compile(r"[\u2500-\u257f]")
_PRAGMA = re.compile(
    r"#\s*(?:prose:.*|(?:noqa|type:\s*ignore|fmt|ruff|mypy|pragma)(?:\[[^\]]*\]|:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|:\s*\S+)?)[\s#]*"
)
_TYPESCRIPT = re.compile(
    r"""//(?!/)(?P<comment>[^\n]*)|/\*\*?(?P<long>.*?)\*/|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`""", re.DOTALL
)
_SQL = re.compile(r"--(?P<comment>[^\n]*)|/\*(?P<long>.*?)\*/|'(?P<string>(?:[^']|'')*)'", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One paragraph, list item, table cell, run of comment lines or message.

    `text` is `original` with blanked code spans; offsets are the same. `anchors` pairs an offset with the line that
    begins there. An exception on a line from `first` to `last` applies to the block.
    """

    kind: Kind
    text: str
    original: str
    anchors: tuple[tuple[int, int], ...]
    first: int
    last: int

    def line_at(self, offset: int) -> int:
        return max(line for start, line in self.anchors if start <= offset)

    def sentences(self) -> Iterator[tuple[int, str]]:
        """Yield each sentence with its offset in `text`."""
        start = 0
        for end in _SENTENCE_END.finditer(self.text):
            yield start, self.text[start : end.end()].rstrip()
            start = end.end()
        yield start, self.text[start:].rstrip()


def words(text: str) -> list[str]:
    return _WORD.findall(text)


def blocks_of(path: Path) -> list[Block]:
    """Return the prose of a file; none for a suffix without an extractor."""
    extract = EXTRACTORS.get(path.suffix)
    return list(extract(path.read_text(encoding="utf-8"))) if extract else []


def python_blocks(source: str) -> Iterator[Block]:
    tree = ast.parse(source)
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and (text := _literal(node.value)) is not None:
            docstrings.add(node.value)
            lines = list(enumerate(text.split("\n"), node.lineno))
            yield from _paragraphs("docstring", lines, node.lineno - 1, node.end_lineno or node.lineno)
    yield from _python_comments(source)
    yield from _python_messages(tree, docstrings)


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _python_comments(source: str) -> Iterator[Block]:
    comments = [
        token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT
    ]
    found = []
    for token in comments:
        line, column = token.start
        text = _PRAGMA.sub("", token.string).lstrip("#!").removeprefix(" ")
        found.append((line, text, not token.line[:column].strip()))
    return _comments(found)


def _comments(found: list[tuple[int, str, bool]]) -> Iterator[Block]:
    """Join comments on successive lines of their own; one beside code stands alone.

    Takes line, text and whether it has its own line.
    """
    run: list[NumberedLine] = []
    for line, text, has_own_line in found:
        if run and not (has_own_line and run[-1][0] == line - 1):
            yield from _paragraphs("comment", run, run[0][0] - 1, run[-1][0])
            run = []
        run.append((line, text))
        if not has_own_line:
            yield from _paragraphs("comment", run, line - 1, line)
            run = []
    yield from _paragraphs("comment", run, run[0][0] - 1 if run else 0, run[-1][0] if run else 0)


def _python_messages(tree: ast.AST, docstrings: set[ast.expr]) -> Iterator[Block]:
    """Yield string literals that read like sentences. A field of an f-string becomes one word."""
    seen = set(docstrings)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Constant, ast.JoinedStr)) or node in seen:
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        seen.update(parts)
        text = "".join("`x`" if (literal := _literal(part)) is None else literal for part in parts)
        if _is_message(text):
            yield from _block(
                "message", [(node.lineno, " ".join(text.split()))], node.lineno - 1, node.end_lineno or node.lineno
            )


def _is_message(text: str) -> bool:
    return len(text.split()) >= MESSAGE_WORDS and "\\" not in text


def sql_blocks(source: str) -> Iterator[Block]:
    """Yield comments, and literals that read like sentences: texts of `comment on` and messages.

    Dollar quotes hold code.
    """
    comments = []
    for match in _SQL.finditer(source):
        line = source.count("\n", 0, match.start()) + 1
        if (comment := match["comment"]) is not None:
            has_own_line = not source[source.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
            if not comment.strip().startswith(("prose:", "name:")):
                comments.append((line, comment.lstrip("-").removeprefix(" "), has_own_line))
            continue
        text = match["long"] or match["string"] or ""
        describes = match["long"] is not None or source[: match.start()].split()[-1:] == ["is"]
        if match["long"] or _is_message(text):
            lines = list(enumerate(text.split("\n"), line))
            yield from _paragraphs("comment" if describes else "message", lines, line - 1, lines[-1][0])
    yield from _comments(comments)


def typescript_blocks(source: str) -> Iterator[Block]:
    """Yield comments. Strings, also those with `//` in them, are skipped."""
    comments = []
    for match in _TYPESCRIPT.finditer(source):
        line = source.count("\n", 0, match.start()) + 1
        if (comment := match["comment"]) is not None:
            has_own_line = not source[source.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
            comments.append((line, comment.removeprefix(" "), has_own_line))
        elif (long := match["long"]) is not None:
            lines = [(line + n, re.sub(r"^\s*\*? ?", "", text)) for n, text in enumerate(long.split("\n"))]
            yield from _paragraphs("docstring", lines, line - 1, lines[-1][0])
    yield from _comments(comments)


def markdown_blocks(source: str) -> Iterator[Block]:
    """Yield paragraphs, headings, list items and table cells."""
    run: list[NumberedLine] = []
    for line, text in [*_visible_markdown(source), (0, "")]:
        stripped = text.lstrip("> ").rstrip()
        stands_alone = stripped.startswith(("#", "|"))
        if run and (not stripped or stands_alone or _ITEM.match(text)):
            yield from _block("markdown", run, run[0][0] - 1, run[-1][0])
            run = []
        if stands_alone:
            for cell in re.split(r"(?<!\\)\|", stripped.strip("|# ")):
                yield from _block("markdown", [(line, cell)], line - 1, line)
        elif stripped:
            run.append((line, stripped))


def _visible_markdown(source: str) -> Iterator[NumberedLine]:
    """Yield lines outside fences, HTML comments and generated parts; a line that is skipped is empty."""
    fence, is_hidden, is_generated = "", False, False
    for line, text in enumerate(source.split("\n"), 1):
        mark = text.strip()
        is_skipped = bool(fence) or is_hidden or is_generated
        if fence:
            fence = "" if mark.startswith(fence) else fence
        elif is_hidden:
            is_hidden = "-->" not in mark
        elif mark.startswith(("```", "~~~")):
            fence, is_skipped = mark[:3], True
        elif mark.startswith("<!--"):
            is_skipped, is_hidden = True, "-->" not in mark
            is_generated = ("[[[cog" in mark or is_generated) and "[[[end]]]" not in mark
        yield line, "" if is_skipped else text


def _paragraphs(kind: Kind, lines: list[NumberedLine], first: int, last: int) -> Iterator[Block]:
    """Split docstrings and comments at blank lines and list items; drop indented examples and drawings."""
    margin = min((_indent(text) for _, text in lines[1:] if text.strip()), default=0)
    run: list[NumberedLine] = []
    for line, text in lines:
        is_indented = line != lines[0][0] and _indent(text) - margin >= EXAMPLE_INDENT
        is_prose = bool(text.strip()) and not is_indented and not _DRAWING.search(text)
        if run and (not is_prose or _ITEM.match(text)):
            yield from _block(kind, run, first, last)
            run = []
        if is_prose:
            run.append((line, text.strip()))
    yield from _block(kind, run, first, last)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _block(kind: Kind, lines: list[NumberedLine], first: int, last: int) -> Iterator[Block]:
    text, anchors = "", []
    for line, part in lines:
        anchors.append((len(text), line))
        text += (part if text else _ITEM.sub("", part, count=1).lstrip()) + " "
    if words(text):
        yield Block(kind, _SPAN.sub(_blank, text), text, tuple(anchors), first, last)


def _blank(span: re.Match[str]) -> str:
    """Replace a code span by one word of its length."""
    return f"`{'x' * (len(span[0]) - 2)}`" if span[0].startswith("`") else "x" * len(span[0])


EXTRACTORS: dict[str, Callable[[str], Iterator[Block]]] = {
    ".md": markdown_blocks,
    ".py": python_blocks,
    ".pyi": python_blocks,
    ".sql": sql_blocks,
    ".ts": typescript_blocks,
}
