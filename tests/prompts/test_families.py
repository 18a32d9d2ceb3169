"""What the families do with conversations that the reference prompts do not show."""

# ruff: noqa: E501  # tables read better with one case on a line

import datetime as dt
import pickle
import subprocess
import sys

import pytest

from nupic_client.errors import ConfigurationError, PromptError
from nupic_client.messages import Message, assistant, system, user
from nupic_client.prompts import ALIASES, FAMILIES, PromptFormatter, formatter_for, guess_family

U, A, S = user("u"), assistant("a"), system("s")
ALTERNATING = [
    "llama-2-chat",
    "mistral-v0.1-legacy",
    "mistral-v0.2-legacy",
    "mistral-v1",
    "mixtral-instruct",
    "mistral-v3",
    "mistral-v3-tekken",
    "gemma",
    "gemma-2",
    "gemma-3",
    "falcon-instruct",
    "command-r",
]
LATE_SYSTEM_REFUSED = [name for name in ALTERNATING if name.startswith(("mistral", "mixtral"))]
ANY_ORDER = [name for name in FAMILIES if name not in {*ALTERNATING, "alpaca"}]


@pytest.mark.parametrize("family", ALTERNATING)
@pytest.mark.parametrize("messages", [[U, U], [A, U], [U, A, A], [S, S, U], [U, A, S]])
def test_strict_turns(family, messages):
    with pytest.raises(PromptError, match=f"{family} allows .* in turns"):
        formatter_for(family)(messages)


@pytest.mark.parametrize("family", LATE_SYSTEM_REFUSED)
def test_late_system_message_is_refused(family):
    with pytest.raises(PromptError, match="message 1 is of role 'system'"):
        formatter_for(family)([U, S, U])


@pytest.mark.parametrize("family", ANY_ORDER)
@pytest.mark.parametrize("messages", [[U, U], [A, U], [A], [S], [S, S, U], [U, S], [U, A, S, U]])
def test_any_order(family, messages):
    assert isinstance(formatter_for(family)(messages), str)


@pytest.mark.parametrize(
    ("family", "messages", "prompt"),
    [
        ("llama-2-chat", [U, S, U], "<s>[INST] u [/INST]<s>[INST] u [/INST]"),
        ("llama-2-chat", [system(""), user(" \n")], "<s>[INST] <<SYS>>\n\n<</SYS>> [/INST]"),
        ("llama-2-chat", [S, user("  x ")], "<s>[INST] <<SYS>>\ns\n<</SYS>>\n\n  x [/INST]"),
        ("llama-2-chat", [S], ""),
        ("gemma", [U, system(" s "), U], None),
        ("gemma-3", [S], "<bos><start_of_turn>model\n"),
        ("command-r", [U, S, U], None),
        ("mistral-v1", [S], "<s>"),
        ("mistral-v3", [S, U, assistant(" a ")], "<s>[INST] u[/INST] a</s>"),
        ("mistral-v3", [S, U, A, U], "<s>[INST] u[/INST] a</s>[INST] s\n\nu[/INST]"),
        ("mistral-v3-tekken", [system(""), U], "<s>[INST]\n\nu[/INST]"),
        ("mistral-v7", [S, S, U, S], "<s>" + "[SYSTEM_PROMPT] s[/SYSTEM_PROMPT]" * 2 + "[INST] u[/INST][SYSTEM_PROMPT] s[/SYSTEM_PROMPT]"),
        ("phi-3.5", [system(""), U, system("")], "<|user|>\nu<|end|>\n<|assistant|>\n"),
        ("phi-3-legacy", [S], "<s>"),
        ("yi-1.5-chat", [U, S], "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n"),
        ("deepseek-v3", [U, S, system("t")], "<｜begin▁of▁sentence｜>s\n\nt<｜User｜>u<｜Assistant｜>"),
        ("deepseek-r1", [assistant("<think>a</think>b</think> c")], "<｜begin▁of▁sentence｜><｜Assistant｜> c<｜end▁of▁sentence｜><｜Assistant｜><think>\n"),
        ("falcon-instruct", [S, user(" a\n\n\nb\r\n\r\nc ")], "s\n\nUser: a\n\nb\r\n\r\nc\n\nAssistant:"),
        ("falcon3", [A, U, A], "<|assistant|>\na<|endoftext|>\n<|user|>\nu\n<|assistant|>\na<|endoftext|><|assistant|>\n"),
        ("granite-3.1", [S], "<|start_of_role|>system<|end_of_role|>s<|end_of_text|>\n"),
        ("exaone-3.5", [system(""), U], "[|system|][|endofturn|]\n[|user|]u\n[|assistant|]"),
        ("solar-instruct", [system(""), A, U], "### Assistant:\na### User:\nu\n\n### Assistant:\n"),
        ("vicuna-1.1", [U, system(""), system("t"), U, user("")], "t USER: u USER: u</s>USER:ASSISTANT:"),
        ("vicuna-1.1", [system(""), A], " ASSISTANT: a ASSISTANT:"),
        ("olmo-instruct", [S, U], "<|endoftext|><|user|>\nu\n<|assistant|>\n"),
        ("plain", [S, U, A], "s\n\nu\n\na"),
        ("plain", [user(" <s> ")], " <s> "),
    ],
)  # fmt: skip
def test_edge(family, messages, prompt):
    if prompt is None:
        prompt = {
            "gemma": "<bos><start_of_turn>user\nu<end_of_turn>\n<start_of_turn>system\ns<end_of_turn>\n"
            "<start_of_turn>user\nu<end_of_turn>\n<start_of_turn>model\n",
            "command-r": "<BOS_TOKEN>"
            + "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>u<|END_OF_TURN_TOKEN|>" * 2
            + "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        }[family]
    assert formatter_for(family)(messages) == prompt


@pytest.mark.parametrize(
    ("messages", "answer"),
    [
        ([U, assistant("<think>\nt\n</think>\n\na")], "<think>\nt\n</think>\n\na"),
        ([U, assistant("a"), assistant("b")], "a<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nb"),
        ([U, assistant("t</think>a"), A], "<think>\nt\n</think>\n\na<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\na"),
        ([U, A, user("<tool_response>x</tool_response>"), A], None),
        ([assistant("<think>t</think>\na")], "a"),
        ([user("<tool_response></tool_response>"), A], "a"),
    ],
)  # fmt: skip
def test_qwen3_thinking(messages, answer):
    prompt = formatter_for("qwen3")(messages, add_generation_prompt=False)
    if answer is None:
        assert prompt.count("<think>") == 1
    else:
        assert prompt.endswith(f"<|im_start|>assistant\n{answer}<|im_end|>\n")


def test_qwen3_without_thinking():
    prompt = formatter_for("qwen3")("hi", enable_thinking=False)
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert formatter_for("qwen3")("hi", enable_thinking=True) == formatter_for("qwen3")("hi")


def test_unknown_template_variable():
    with pytest.raises(ConfigurationError, match="gemma has no template variable 'documents': it has none"):
        formatter_for("gemma")("hi", documents=[])
    with pytest.raises(ConfigurationError, match="the variables are 'enable_thinking'"):
        formatter_for("qwen3")("hi", documents=[])


@pytest.mark.parametrize("family", FAMILIES)
def test_content_is_inserted_verbatim(family):
    content = "{{ messages }} {% if %} {date} %s \\n 你好 🎉 <|other|> " + "long " * 20_000 + "."
    assert content in formatter_for(family)(content)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_is_one_user_message(family):
    formatter = formatter_for(family)
    assert (
        formatter("hi")
        == formatter([user("hi")])
        == formatter({"role": "user", "content": "hi"} for _ in "1")
    )


@pytest.mark.parametrize(
    "family",
    [name for name in FAMILIES if "legacy" not in name and name not in {"gemma", "gemma-2", "alpaca"}],
)
def test_system_parameter(family):
    formatter = formatter_for(family)
    assert formatter("hi", "be brief") == formatter([system("be brief"), user("hi")])
    assert formatter("hi", system="") == formatter([system(""), user("hi")])
    with pytest.raises(PromptError, match="starts with a system message already"):
        formatter([S, U], system="t")


@pytest.mark.parametrize("family", ["gemma", "gemma-2", "mistral-v0.1-legacy", "mistral-v0.2-legacy"])
def test_system_refused(family):
    with pytest.raises(
        PromptError, match=f"message 0 is a system message, but {family} allows no system message"
    ):
        formatter_for(family)("hi", system="")


@pytest.mark.parametrize("family", FAMILIES)
def test_refused_by_every_family(family):
    formatter = formatter_for(family)
    with pytest.raises(PromptError, match="at least one message"):
        formatter([])
    with pytest.raises(PromptError, match=r"message 1 has the role 'critic', but .* allows .*user"):
        formatter([U, Message("critic", "x")])
    with pytest.raises(ConfigurationError):
        formatter(5)
    with pytest.raises(ConfigurationError):
        formatter(U)
    with pytest.raises(ConfigurationError):
        formatter([{"role": "user"}])


def test_alpaca_is_for_one_user_message():
    for messages in ([U, A], [U, U], [A], [S, U]):
        with pytest.raises(PromptError, match="alpaca allows exactly one user message"):
            formatter_for("alpaca")(messages)


@pytest.mark.parametrize(
    ("family", "printed"),
    [
        ("llama-3.1-instruct", "Today Date: 05 Mar 2031\n"),
        ("llama-3.2-instruct", "Today Date: 05 Mar 2031\n"),
        ("granite-3.1", "Today's Date: March 05, 2031.\n"),
        ("granite-3.3", "Today's Date: March 05, 2031. You"),
        ("mistral-v7-tekken", "The current date is 2031-03-05.\n"),
    ],
)
def test_date(family, printed):
    assert printed in formatter_for(family)("hi", date=dt.date(2031, 3, 5))


@pytest.mark.parametrize("family", [name for name, formatter in FAMILIES.items() if formatter.prints_date])
def test_default_date(family):
    formatter = formatter_for(family)
    built_in = family in {"llama-3.1-instruct", "llama-3.3-instruct"}
    before = dt.date.today()  # noqa: DTZ011
    prompt = formatter("hi")
    days = {dt.date(2024, 7, 26)} if built_in else {before, dt.date.today()}  # noqa: DTZ011
    assert prompt in {formatter("hi", date=day) for day in days}


def test_date_is_ignored_where_none_is_printed():
    formatter = formatter_for("chatml")
    assert formatter("hi", date=dt.date(2031, 3, 5)) == formatter("hi")


def test_names_and_aliases():
    assert formatter_for(" ChatML ") is FAMILIES["chatml"]
    for alias, family in ALIASES.items():
        assert alias == alias.lower()
        assert alias not in FAMILIES
        assert formatter_for(alias) is FAMILIES[family]
        assert alias in FAMILIES[family].aliases
    assert len(ALIASES) == sum(len(formatter.aliases) for formatter in FAMILIES.values())
    for alias in (
        "llama2",
        "llama3",
        "llama3.1",
        "mistral",
        "mixtral",
        "gemma2",
        "phi3",
        "qwen2",
        "vicuna",
        "falcon",
    ):
        assert formatter_for(alias)
    with pytest.raises(TypeError):
        FAMILIES["x"] = formatter_for("chatml")


def test_unknown_family():
    with pytest.raises(
        ConfigurationError,
        match=r"no prompt family 'lama3': did you mean 'llama3'.*\? the families are 'chatml', ",
    ):
        formatter_for("lama3")
    more = len(FAMILIES) - 3
    with pytest.raises(ConfigurationError) as caught:
        formatter_for("zzzz")
    assert str(caught.value) == (
        "there is no prompt family 'zzzz': the families are 'chatml', 'smollm2', 'qwen1.5' and"
        f" {more} more in nupic_client.prompts.FAMILIES"
    )
    with pytest.raises(ConfigurationError, match="must be a string, not NoneType"):
        formatter_for(None)


@pytest.mark.parametrize("family", FAMILIES)
def test_formatters_are_immutable_values(family):
    formatter = FAMILIES[family]
    copy = pickle.loads(pickle.dumps(formatter))
    assert copy == formatter
    assert hash(copy) == hash(formatter)
    assert copy("hi") == formatter("hi")
    assert repr(formatter) == f"<PromptFormatter {family}>"
    with pytest.raises(AttributeError, match="immutable"):
        formatter.family = "other"
    assert isinstance(formatter, PromptFormatter)
    assert formatter != family
    assert isinstance(formatter.allows, str)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Meta-Llama-3.1-8B-Instruct", "llama-3.1-instruct"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3-instruct"),
        ("llama-3.2-1b-instruct", "llama-3.2-instruct"),
        ("Llama-3.2-11B-Vision-Instruct", None),
        ("llama3.3-70b-instruct", "llama-3.3-instruct"),
        ("Llama-2-7b-chat-hf", "llama-2-chat"),
        ("llama2-7b-chat", "llama-2-chat"),
        ("Llama-2-7b-hf", None),
        ("zephyr-7b-beta", "zephyr"),
        ("TheBloke/zephyr-7B-beta-GGUF", "zephyr"),
        ("stablelm-zephyr-3b", "stablelm-zephyr"),
        ("mistral-7b-instruct-v0.2", "mistral-v1"),
        ("mistral-7b-instruct-v0.3", "mistral-v3"),
        ("mistral-7b-v0.1", None),
        ("Mistral-Nemo-Instruct-2407", "mistral-v3-tekken"),
        ("mixtral-8x7b-instruct-v0.1", "mixtral-instruct"),
        ("qwen2.5-0.5b-instruct", "qwen2.5"),
        ("Qwen2.5-Coder-7B-Instruct", None),
        ("Qwen2-7B-Instruct", "qwen2"),
        ("Qwen1.5-4B-Chat", "qwen1.5"),
        ("Qwen3-1.7B", "qwen3"),
        ("Qwen3-1.7B-Base", None),
        ("Qwen3-4B-Instruct-2507", None),
        ("gemma-2-9b-it", "gemma-2"),
        ("gemma-2b-it", "gemma"),
        ("gemma-1.1-7b-it", "gemma"),
        ("gemma-3-1b-it", "gemma-3"),
        ("gemma-2b", None),
        ("Phi-3-mini-4k-instruct", "phi-3"),
        ("phi-3.5-mini-instruct", "phi-3.5"),
        ("phi-4", "phi-4"),
        ("Phi-4-mini-instruct", "phi-4-mini"),
        ("SmolLM2-135M-Instruct", "smollm2"),
        ("smollm2", "smollm2"),
        ("SmolLM2-135M", None),
        ("TinyLlama-1.1B-Chat-v1.0", "tinyllama-chat"),
        ("DeepSeek-R1-Distill-Llama-8B", "deepseek-r1"),
        ("DeepSeek-V3", "deepseek-v3"),
        ("DeepSeek-V3.1", None),
        ("falcon-7b-instruct", "falcon-instruct"),
        ("Falcon3-3B-Instruct", "falcon3"),
        ("granite-3.1-3b-a800m-instruct", "granite-3.1"),
        ("openchat-3.5-0106", "openchat-3.5"),
        ("SOLAR-10.7B-Instruct-v1.0", "solar-instruct"),
        ("vicuna-7b-v1.5", "vicuna-1.1"),
        ("OpenHermes-2.5-Mistral-7B", "chatml"),
        ("Qwen2-VL-7B-Instruct", "qwen2-vl"),
        ("Qwen/Qwen2.5-VL-72B-Instruct-AWQ", "qwen2-vl"),
        ("Qwen2-VL-7B", None),
        ("gpt2", None),
        ("", None),
    ],
)
def test_guess_family(name, family):
    assert guess_family(name) == family


def test_guessed_families_exist_and_reference_models_are_guessed_right():
    for name, formatter in FAMILIES.items():
        if name in {"plain", "phi-3-legacy", "alpaca-fastchat"} or "legacy" in name:
            continue
        assert guess_family(formatter.reference_model) in {name, None}, name


def test_importing_is_cheap():
    code = "import sys, nupic_client.prompts; print([m for m in ('jinja2', 'numpy', 'grpc') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
