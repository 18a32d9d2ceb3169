"""Formatters made of Jinja templates: as Hugging Face renders, and in its sandbox."""

# ruff: noqa: E501  # tables read better with one case on a line

import datetime as dt
import json
import pickle
import sys

import pytest

from nupic_client.errors import ConfigurationError, PromptError
from nupic_client.messages import assistant, system, user
from nupic_client.prompts import PromptFormatter, formatter_for

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ZEPHYR = """
{%- for message in messages %}
  {% if message.role in ['user', 'system', 'assistant'] %}
{{ '<|' ~ message.role ~ '|>\n' ~ message.content ~ eos_token }}
  {% endif %}
{% endfor %}
{% if add_generation_prompt %}
<|assistant|>
{{ '' }}
{%- endif %}
"""
GEMMA = """{{ bos_token }}{% for message in messages %}
    {%- if (message.role == 'user') != (loop.index0 is even) -%}
        {{ raise_exception('roles must alternate') }}
    {%- endif -%}
    {{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}
    {{- message.content | trim + '<end_of_turn>\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""
CONVERSATIONS = [
    [user("hi")],
    [user(" 你好 \n"), assistant("🎉"), user("{{ x }}")],
    [system(""), user("hi")],
    [user("x" * 100_000)],
]


def render(template, messages="hi", **options):
    return PromptFormatter.from_jinja(template)(messages, **options)


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize(
    ("family", "template"), [("chatml", CHATML), ("tinyllama-chat", ZEPHYR), ("gemma", GEMMA)]
)
def test_agrees_with_the_family(family, template, messages):
    declared = formatter_for(family)
    formatter = PromptFormatter.from_jinja(
        template, bos_token=declared.bos_token, eos_token=declared.eos_token
    )
    if family == "gemma" and messages[0].role == "system":
        with pytest.raises(PromptError, match="refuses this conversation: roles must alternate"):
            formatter(messages)
        return
    for add in (True, False):
        assert formatter(messages, add_generation_prompt=add) == declared(messages, add_generation_prompt=add)


def test_facts():
    formatter = PromptFormatter.from_jinja(
        "{{ bos_token }}{{ messages }}",
        bos_token="<b>",
        eos_token="<e>",
        stop=["\n\n"],
        control_tokens=["[X]"],
        family="f",
    )
    assert (formatter.family, formatter.bos_token, formatter.eos_token) == ("f", "<b>", "<e>")
    assert formatter.stop == ("<e>", "\n\n")
    assert set(formatter.control_tokens) == {"[X]", "<b>", "<e>", "\n\n"}
    assert formatter.prints_bos
    assert formatter.default_system is None
    assert formatter.allows == "the template decides"
    assert not PromptFormatter.from_jinja("x", bos_token="<b>").prints_bos
    assert not formatter.prints_date


def test_pickle_and_equality():
    formatter = PromptFormatter.from_jinja(CHATML, eos_token="<|im_end|>")
    copy = pickle.loads(pickle.dumps(formatter))
    assert copy == formatter
    assert copy != PromptFormatter.from_jinja(CHATML)
    assert copy("hi") == formatter("hi")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% if true %}\n  x\n{% endif %}\n", "  x\n"),
        ("   {% if true %}\nx{% endif %}\n\n", "x"),
        ("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "023"),
        ("{{ {'b': 'é<', 'a': [1]} | tojson }}", '{"b": "é<", "a": [1]}'),
        ("{{ {'b': 1, 'a': 2} | tojson(indent=2, sort_keys=true) }}", '{\n  "a": 2,\n  "b": 1\n}'),
        ("{{ ['é'] | tojson(ensure_ascii=true, separators=(',', ':')) }}", '["\\u00e9"]'),
        ("{{ strftime_now('%Y-%m-%d') }}", "2031-03-05"),
        ("{{ strftime_now('%d %b, in week 10') }}", "05 Mar, in week 10"),
        ("{% generation %}{% set a = 1 %}x{{ a }}{% endgeneration %}{{ a }}", "x1"),
        ("{{ missing }}|{{ missing is defined }}|{{ tools is none }}|{{ documents is none }}", "|False|True|True"),
        ("{{ bos_token is defined }}{{ bos_token }}", "False"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1"),
        ("{{ messages[0].content.upper() }}{{ messages[0]['role'] }}{{ messages|length }}", "HIuser1"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(',') }}", "hi"),
        ("{% macro m(x) %}[{{ x }}{{ caller() if caller }}]{% endmacro %}{{ m(1) }}{% call m(2) %}c{% endcall %}", "[1][2c]"),
        ("{% for m in messages recursive %}{{ loop.index }}{{ loop.last }}{{ loop.length }}{% endfor %}", "1True1"),
        ("{% for a in [1, 2, 3] if a != 2 %}{{ a }}/{{ loop.length }}{% else %}-{% endfor %}", "1/23/2"),
        ("{% for a in [] %}{% else %}none{% endfor %}{{ 'a' in 'abc' }}{{ 1 < 2 < 3 }}{{ [1, 2, 3][1:] }}", "noneTrueTrue[2, 3]"),
        ("{{ '%s-%05d' % ('a', 3) }}{{ '%(x)s'|format(x=1) }}{{ '{:>3}{}'.format('a', 'b') }}{{ '{a}'.format_map({'a': 1}) }}", "a-000031  ab1"),
        ("{{ 'a' * 3 }}{{ 2 ** 10 }}{{ 7 // 2 }}{{ 7 % 4 }}{{ [0] * 2 }}{{ 1.5 * 2 }}{{ 'a' ~ 1 }}{{ 3 - 1 }}{{ 'a' * -1 }}", "aaa102433[0, 0]3.0a12"),
        ("{{ 'a-b'.replace('-', '+') }}{{ 'a-b'|replace('-', '') }}{{ ','.join(['a', 'b']) }}{{ 'x'.center(3) }}|{{ 'x'|center(3) }}", "a+baba,b x | x "),
        ("{{ 'a\nb'|indent(2) }}{{ 1.55|round(1) }}{{ [1, 2]|sum }}{{ 'a\tb'.expandtabs(2) }}{{ 'b'.encode().decode('UTF-8') }}", "a\n  b1.63a bb"),
        ("{{ {'a': 1}.items()|list }}{{ dict(a=1) }}{{ [3, 1].index(1) }}{{ {(1, 2): 3}[(1, 2)] }}{{ ['a', 'b']|join }}", "[('a', 1)]{'a': 1}13ab"),
        ("{{ b'x'|default('no') if false }}{{ (1).bit_length() }}{{ '<b>'|striptags }}{{ 'ab'|wordwrap(1) }}", None),
        ("{% filter upper %}x{{ 'y' }}{% endfilter %}{% set x %}a{% endset %}{{ x }}{% block b %}B{% endblock %}{{ self.b() }}", "XYaBB"),
    ],
)  # fmt: skip
def test_renders_as_hugging_face_does(template, text):
    if text is None:
        with pytest.raises(ConfigurationError, match="has an error in line 1"):
            render(template)
        return
    assert render(template, date=dt.date(2031, 3, 5)) == text


def test_strftime_now_without_a_date():
    before = dt.date.today()  # noqa: DTZ011
    day = render("{{ strftime_now('%Y-%m-%d') }}")
    assert before.isoformat() <= day <= dt.date.today().isoformat()  # noqa: DTZ011


def test_variables_pass_through():
    template = "{{ enable_thinking }}{{ documents|tojson }}{{ bos_token }}"
    formatter = PromptFormatter.from_jinja(template, bos_token="<b>")
    assert formatter("hi", enable_thinking=False, documents=[{"name": "f"}]) == 'False[{"name": "f"}]<b>'
    assert formatter("hi", bos_token="<c>").endswith("<c>")
    with pytest.raises(ConfigurationError, match="'strftime_now' is set by the formatter"):
        formatter("hi", strftime_now=print)


def test_any_role_is_the_template_s_business():
    assert render("{{ messages[0].role }}", [{"role": "tool", "content": ""}]) == "tool"


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.append(1) }}",
        "{{ messages.clear() }}",
        "{{ messages[0].update({'role': 'x'}) }}",
        "{{ tools.append(1) }}",
        "{{ tools[0].function.pop('name') }}",
        "{{ documents.append(1) }}",
        "{{ documents[0].pop('name') }}",
        "{{ (documents[0] | attr('setdefault'))('x', 1) }}",
        "{{ documents[0]['tags'].add(1) }}",
    ],
)
def test_templates_cannot_change_what_they_are_given(template):
    messages = [{"role": "user", "content": "hi"}]
    documents = [{"name": "f", "tags": {1}}]
    tools = [{"name": "f", "parameters": {}}]
    with pytest.raises(PromptError, match="the chat template of jinja"):
        render(template, messages, tools=tools, documents=documents)
    assert messages == [{"role": "user", "content": "hi"}]
    assert tools == [{"name": "f", "parameters": {}}]
    assert documents == [{"name": "f", "tags": {1}}]


@pytest.mark.parametrize("template", ["{% if %}", "{{ x", "{% nope %}", "{{ x|nope }}", "{% endfor %}"])
def test_syntax_error(template):
    with pytest.raises(ConfigurationError, match="template 'default' has an error in line 1"):
        PromptFormatter.from_jinja(template)


@pytest.mark.slow
@pytest.mark.parametrize(
    "template",
    [
        "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
        "{% for a in x %}" * 30 + "{% endfor %}" * 30,
        "{{ 1" + "+1" * 50_000 + " }}",
        "{{ 10**5000 }}",
    ],
)
def test_template_that_cannot_be_compiled(template):
    with pytest.raises(ConfigurationError, match="cannot be compiled"):
        PromptFormatter.from_jinja(template)


def test_without_jinja2(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.split(".")[0] == "jinja2" or name.endswith(".sandbox")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'nupic-client\[jinja\]'"):
        PromptFormatter.from_jinja(CHATML)
    with pytest.raises(ConfigurationError, match=r"pip install 'nupic-client\[jinja\]'"):
        PromptFormatter.from_tokenizer_config({"chat_template": CHATML})


DEEP = "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}"

FAILING = {
    "recursive macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "recursive loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "recursive block": "{% block a %}{{ self.a() }}{% endblock %}",
    "printing a deep list": DEEP + "{{ ns.x }}",
    "a deep list as json": DEEP + "{{ ns.x | tojson }}",
    "a range that is too long": "{{ range(10**9) | list }}",
    "more memory than there is": "{{ 'a' * 10**18 }}",
    "a number that is too long to print": "{{ (messages | length + 9) ** 5000 }}",
    "a product that is too long": "{{ 'a' * 10**30 }}",
    "a division by zero": "{{ 1 / 0 }}",
    "a wrong type": "{{ 1 + 'a' }}",
    "an object that is no JSON": "{{ cycler | tojson }}",
    "an undefined attribute": "{{ missing.attribute }}",
}


@pytest.mark.parametrize("template", FAILING.values(), ids=FAILING)
def test_a_template_that_fails_is_a_prompt_error(template):
    formatter = PromptFormatter.from_jinja(template, family="acme")
    with pytest.raises(PromptError, match="the chat template of acme"):
        formatter("hi")


@pytest.mark.parametrize(
    "error", [RecursionError, MemoryError, OverflowError, SyntaxError, KeyError, OSError]
)
def test_any_exception_is_a_prompt_error(error):
    def fail():
        raise error("words")

    with pytest.raises(PromptError, match=f"the chat template of jinja failed: {error.__name__}: .?words"):
        render("{{ fail() }}", fail=fail)


def test_variables_that_nest_too_deeply():
    documents = []
    for _ in range(99_999):
        documents = [documents]
    with pytest.raises(PromptError, match="the chat template of jinja failed: RecursionError"):
        render("{{ documents | tojson }}", documents=documents)


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}" + "x" * 10_000 + "{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ messages[0].content * 10000 }}{% endfor %}",
        "{{ messages[0].content * 9999999 }}",
    ],
    ids=["words", "expressions", "one piece"],
)
def test_a_template_that_prints_too_much_is_stopped(template):
    with pytest.raises(PromptError, match=r"jinja was stopped: .* at most 16,777,232 characters, not more"):
        render(template)


def test_a_template_that_prints_too_much_is_stopped_at_once(monkeypatch):
    monkeypatch.setattr("nupic_client.prompts.jinja._LONGEST", 84)
    turns = []
    template = "{% for a in range(99999) %}{{ note(a) or 'ten chars.' }}{% endfor %}"
    with pytest.raises(PromptError, match="at most 100 characters"):
        render(template, note=turns.append)
    assert turns == list(range(11))


def test_a_long_conversation_may_have_a_long_prompt(monkeypatch):
    monkeypatch.setattr("nupic_client.prompts.jinja._LONGEST", 0)
    assert render("{% for a in range(8) %}{{ messages[0].content }}{% endfor %}", "x" * 100) == "x" * 800
    with pytest.raises(PromptError, match="at most 800 characters"):
        render("{% for a in range(8) %}{{ messages[0].content }}{% endfor %}!", "x" * 100)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ '{0.__class__.__mro__}'.format(1) }}",
        "{{ raise_exception.__globals__['os'] }}",
        "{{ (''|attr('__class__')).x }}",
        "{{ '{a.__class__.__mro__}'.format_map({'a': 1}) }}",
        "{{ ('{0.__class__.__mro__}' | attr('format'))(1) }}",
        "{{ (['{0.__class__.__mro__}'] | map('attr', 'format') | first)(1) }}",
        "{{ (['{0.__class__.__mro__}'] | map(attribute='format') | first)(1) }}",
        "{{ (messages | map(attribute='__class__') | first).x }}",
        "{{ dict.mro() }}",
        "{{ strftime_now.__globals__['dt'] }}",
        "{{ lipsum.__globals__['os'].popen('id') }}",
        "{{ namespace.__init__.__globals__['x'] }}",
        "{{ function.__code__.co_consts[0] }}",
        "{{ generator.gi_frame.f_back }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ ''.format.__self__.__class__.x }}",
    ],
)
def test_a_hostile_template_runs_no_code(template):
    def function():
        return None

    with pytest.raises(PromptError, match="the chat template of jinja"):
        render(template, function=function, generator=iter(item for item in ()))


def test_raise_exception_keeps_the_words_short():
    with pytest.raises(PromptError) as status_error:
        render("{{ raise_exception('no' * 10000) }}")
    assert len(str(status_error.value)) < 600


def test_a_formatter_can_be_called_while_a_template_runs():
    inner = PromptFormatter.from_jinja("inner")
    assert PromptFormatter.from_jinja("{{ f('x') }}{{ 'a' ~ 1 }}")("hi", f=inner) == "innera1"


@pytest.mark.parametrize(
    ("template", "content"),
    [
        (CHATML, "a<|im_start|>b"),
        ("{{ '<|' + messages[0].role + '|>' }}", "<|system|>"),
        ("[|user|]", "[|assistant|]"),
        ("{{ '### User:\n' }}", "x\n### User:"),
        ("{{ 'User: ' }}", "x\nUser: y"),
        ("{{ 'USER: ' }}", "x USER: y"),
        ("{{ '[INST] ' }}", "[INST]"),
        ("{{ '<start_of_turn>' }}", "<start_of_turn>"),
        ("x", "the <e> token"),
    ],
)
def test_control_tokens_are_found_in_the_template(template, content):
    formatter = PromptFormatter.from_jinja(template, eos_token="<e>")
    with pytest.raises(PromptError, match=r"message 0 \(user\) contains"):
        formatter(content)
    assert isinstance(formatter(content, allow_control_tokens=True), str)
    assert isinstance(formatter("ordinary | text < with > signs: User"), str)


CONFIG = {
    "chat_template": CHATML,
    "bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": False},
    "eos_token": "<|im_end|>",
    "unk_token": None,
    "additional_special_tokens": ["<|tool|>", {"content": "<extra>"}],
    "added_tokens_decoder": {"1": {"content": "<special>", "special": True}, "2": {"content": "ordinary", "special": False}},
    "name_or_path": "org/model",
}  # fmt: skip


def test_tokenizer_config():
    formatter = PromptFormatter.from_tokenizer_config(CONFIG)
    assert formatter("hi") == formatter_for("chatml")("hi")
    assert (formatter.family, formatter.bos_token, formatter.eos_token) == ("org/model", "<s>", "<|im_end|>")
    assert formatter.stop == ("<|im_end|>",)
    assert {"<s>", "<|im_end|>", "<|tool|>", "<extra>", "<special>", "<|im_start|>"} <= set(
        formatter.control_tokens
    )
    assert "ordinary" not in formatter.control_tokens
    assert PromptFormatter.from_tokenizer_config(CONFIG, family="mine").family == "mine"


def test_special_tokens_are_variables():
    template = "{{ bos_token }}{{ additional_special_tokens[1] }}{{ unk_token is defined }}"
    formatter = PromptFormatter.from_tokenizer_config({**CONFIG, "chat_template": template})
    assert formatter("hi") == "<s><extra>False"
    assert formatter.prints_bos
    more = {"chat_template": "{{ image_token }}", "extra_special_tokens": {"image_token": "<img>"}}
    assert PromptFormatter.from_tokenizer_config(more)("hi") == "<img>"


@pytest.mark.parametrize(
    "named",
    [
        [
            {"name": "default", "template": "d"},
            {"name": "tool_use", "template": "t"},
            {"name": "rag", "template": "r"},
        ],
        {"default": "d", "tool_use": "t", "rag": "r"},
    ],
)
def test_named_templates(named):
    formatter = PromptFormatter.from_tokenizer_config({"chat_template": named})
    assert formatter("hi") == "d"
    assert formatter("hi", tools=[{"name": "now"}]) == "t"
    assert formatter("hi", tools=None) == "d"
    assert (
        PromptFormatter.from_tokenizer_config({"chat_template": named}, chat_template="rag")(
            "hi", tools=[{"name": "now"}]
        )
        == "r"
    )
    with pytest.raises(
        ConfigurationError,
        match=r"no chat template 'x': the templates are 'default', 'tool_use', 'rag'; choose one",
    ):
        PromptFormatter.from_tokenizer_config({"chat_template": named}, chat_template="x")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "no chat_template"),
        ({"chat_template": 5}, "must be a string, or a list"),
        ({"chat_template": [{"name": "x"}]}, "must be a string, or a list"),
        ({"chat_template": {"default": 5}}, "must be a string"),
        ({"chat_template": [{"name": "x", "template": "y"}]}, "no chat template 'default'"),
        ({"chat_template": "{% if %}"}, "has an error in line 1"),
    ],
)
def test_unusable_tokenizer_config(config, words):
    with pytest.raises(ConfigurationError, match=words):
        PromptFormatter.from_tokenizer_config(config)


def test_tokenizer_config_file(tmp_path):
    path = tmp_path / "tokenizer_config.json"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PromptFormatter.from_tokenizer_config(path)
    path.write_text("[1]", "utf-8")
    with pytest.raises(ConfigurationError, match="JSON object, not list"):
        PromptFormatter.from_tokenizer_config(path)
    path.write_text("{", "utf-8")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PromptFormatter.from_tokenizer_config(path)
    path.write_text(json.dumps(CONFIG), "utf-8")
    for place in (path, str(path), tmp_path):
        formatter = PromptFormatter.from_tokenizer_config(place)
        assert formatter("hi") == formatter_for("chatml")("hi")
        assert formatter.family == tmp_path.name
        assert formatter.source == str(place)


def test_template_files_win(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(CONFIG), "utf-8")
    (tmp_path / "chat_template.jinja").write_text("file {{ eos_token }}", "utf-8")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("rag", "utf-8")
    assert PromptFormatter.from_tokenizer_config(tmp_path)("hi") == "file <|im_end|>"
    assert PromptFormatter.from_tokenizer_config(tmp_path, chat_template="rag")("hi") == "rag"


# Found by fuzzing


@pytest.mark.parametrize(
    "more",
    [
        {"added_tokens_decoder": ["<x>"]},
        {"additional_special_tokens": 7},
        {"extra_special_tokens": "<x>"},
    ],
)
def test_a_tokenizer_configuration_with_another_shape_is_refused(more):
    with pytest.raises(ConfigurationError, match="must be"):
        PromptFormatter.from_tokenizer_config({"chat_template": "x", **more})


def test_a_template_file_that_is_no_text(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("{}", "utf-8")
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"chat_template\.jinja' cannot be read"):
        PromptFormatter.from_tokenizer_config(tmp_path)


def test_a_tokenizer_configuration_that_is_nested_too_deeply(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("[" * 200_000, "utf-8")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PromptFormatter.from_tokenizer_config(tmp_path)


# generation_config.json

END_TOKENS = {
    "chat_template": "x",
    "eos_token": "<|end_of_text|>",
    "added_tokens_decoder": {
        "1": {"content": "<|end_of_text|>", "special": True},
        "9": {"content": "<|eot_id|>", "special": True},
    },
}


@pytest.mark.parametrize(
    ("given", "stop"),
    [
        ([1, 8, 9], ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")),
        (9, ("<|end_of_text|>", "<|eot_id|>")),
        ([9, 4711], ("<|end_of_text|>", "<|eot_id|>")),
        (None, ("<|end_of_text|>",)),
        ([], ("<|end_of_text|>",)),
    ],
)
def test_end_tokens_of_the_generation_config(tmp_path, given, stop):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(END_TOKENS), "utf-8")
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": given}), "utf-8")
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({"added_tokens": [{"id": 8, "content": "<|eom_id|>"}, {"id": 7, "content": "<|x|>"}]}),
        "utf-8",
    )
    for place in (tmp_path, tmp_path / "tokenizer_config.json"):
        formatter = PromptFormatter.from_tokenizer_config(place)
        assert formatter.stop == stop
        assert {*stop} <= {*formatter.control_tokens}
    assert PromptFormatter.from_tokenizer_config(tmp_path, stop=["END"]).stop == (*stop, "END")


def test_end_tokens_without_a_tokenizer_file(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(END_TOKENS), "utf-8")
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [8, 9]}', "utf-8")
    assert PromptFormatter.from_tokenizer_config(tmp_path).stop == ("<|end_of_text|>", "<|eot_id|>")
    (tmp_path / "generation_config.json").unlink()
    assert PromptFormatter.from_tokenizer_config(tmp_path, stop="END").stop == ("<|end_of_text|>", "END")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "the generation configuration .* cannot be read"),
        ('{"eos_token_id": "x"}', "eos_token_id in .* must be a number or a list of numbers, not 'x'"),
        ('{"eos_token_id": ["x"]}', "must be a number or a list of numbers"),
        ("[]", "must have a JSON object, not list"),
    ],
)
def test_a_generation_config_that_cannot_be_read(tmp_path, text, words):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(END_TOKENS), "utf-8")
    (tmp_path / "generation_config.json").write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=words):
        PromptFormatter.from_tokenizer_config(tmp_path)


@pytest.mark.parametrize("stop", [[""], [5], [None]])
def test_stop_strings_are_checked(stop):
    with pytest.raises(ConfigurationError, match="stop must be non-empty strings"):
        PromptFormatter.from_jinja("x", stop=stop)
    with pytest.raises(ConfigurationError, match="stop must be non-empty strings"):
        PromptFormatter.from_tokenizer_config(END_TOKENS, stop=stop)


def test_a_date_is_a_date():
    with pytest.raises(ConfigurationError, match=r"date must be a datetime\.date, not '2026'"):
        formatter_for("llama3.1")("hi", date="2026")


@pytest.mark.parametrize(
    ("given", "stop"), [("END", ("END",)), (["END", "###", 5], ("END", "###")), (None, ()), (5, ())]
)
def test_stop_strings_of_the_generation_config(tmp_path, given, stop):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(END_TOKENS), "utf-8")
    (tmp_path / "generation_config.json").write_text(json.dumps({"stop_strings": given}), "utf-8")
    assert PromptFormatter.from_tokenizer_config(tmp_path).stop == ("<|end_of_text|>", *stop)
