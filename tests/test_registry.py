from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import StreamingClient
from nupic_client._folders import user_config_folder
from nupic_client.backends import BACKENDS, DEFAULT_MAX_TOKENS
from nupic_client.errors import ConfigurationError, UnknownModelError
from nupic_client.messages import system, user
from nupic_client.model_spec import BACKEND_NAMES
from nupic_client.prompts import formatter_for
from nupic_client.registry import (
    ModelRegistry,
    ModelSpec,
    default_registry,
    get_prompt_formatter,
    model_naming_mapping,
    specs_from_toml,
)
from nupic_client.sampling import SamplingParams
from nupic_client.testing import FakeTriton

BOT = ModelSpec(name="support-bot", server_name="support.streaming", aliases=("bot",), family="chatml")


@pytest.fixture
def registry():
    return ModelRegistry([BOT])


# A model


def test_a_model_without_a_server_name_has_its_own():
    assert ModelSpec(name="llm").server_name == "llm"


@pytest.mark.parametrize(("text", "cumulative"), [("delta", False), ("cumulative", True), ("auto", None)])
def test_the_kind_of_text_as_the_decoder_takes_it(text, cumulative):
    assert ModelSpec(name="llm", text=text).cumulative is cumulative


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": None},
        {"text": "all"},
        {"text": []},
        {"server_name": 5},
        {"version": 2},
        {"version": None},
        {"family": 5},
        {"system": ["x"]},
        {"aliases": 5},
        {"aliases": [5]},
        {"stop": [""]},
        {"stop": 5},
        {"sampling": 5},
        {"sampling": {"temprature": 1}},
        {"sampling": {"temperature": "hot"}},
        {"bos": "maybe"},
        {"context_length": 0},
        {"context_length": True},
    ],
)
def test_a_model_with_a_wrong_value_is_an_error(given):
    with pytest.raises(ConfigurationError):
        ModelSpec(**({"name": "llm"} | given))


@pytest.mark.parametrize("key", ["stop", "aliases"])
def test_one_string_is_not_taken_as_its_letters(key):
    with pytest.raises(ConfigurationError, match=f"{key} must be a list of strings, not 'END'"):
        ModelSpec(name="llm", **{key: "END"})


def test_a_model_with_a_family_has_its_formatter():
    assert BOT.formatter.family == "chatml"


def test_a_model_without_a_family_has_no_formatter():
    assert ModelSpec(name="llm").formatter is None


# Looking up


@pytest.mark.parametrize("name", ["support-bot", "bot", "support.streaming"])
def test_a_model_is_found_by_name_alias_and_server_name(registry, name):
    assert name in registry
    assert registry[name] is BOT
    assert registry.resolve(name) is BOT


def test_an_unknown_name_is_taken_as_the_servers_name(registry):
    spec = registry.resolve("their-model")
    assert (spec.name, spec.server_name, spec.family) == ("their-model", "their-model", None)


def test_an_unknown_name_has_a_hint_with_the_nearest_names(registry):
    assert registry.resolve("suport-bot").hint == "did you mean 'support-bot'? the registry has 'support-bot'"
    assert registry.resolve("suport-bot").suggestion == "did you mean 'support-bot'? "
    assert registry.resolve("xyz").suggestion == ""


def test_an_unknown_name_like_no_other_has_a_hint_with_all_names(registry):
    assert registry.resolve("xyz").hint == "the registry has 'support-bot'"


@pytest.mark.parametrize("name", ["", "  ", None, 5, ["bot"]])
def test_a_name_is_a_non_empty_string(registry, name):
    with pytest.raises(ConfigurationError, match="must be a non-empty string"):
        registry.resolve(name)


def test_looking_up_an_unknown_name_is_an_error_with_the_nearest_names(registry):
    with pytest.raises(UnknownModelError, match="did you mean 'support-bot'") as caught:
        registry["suport-bot"]
    assert (caught.value.model, caught.value.known) == ("suport-bot", ("support-bot",))


def test_looking_up_a_name_like_no_other_is_an_error_with_all_names(registry):
    with pytest.raises(UnknownModelError, match="in the registry: the models are 'support-bot'"):
        registry["xyz"]


def test_a_registry_is_a_mapping_of_friendly_names(registry):
    assert dict(registry) == {"support-bot": BOT}
    assert len(registry) == 1
    assert repr(registry) == "ModelRegistry(support-bot)"


# Registering


def test_a_model_of_the_same_name_is_replaced(registry):
    other = ModelSpec(name="support-bot", server_name="new", aliases=("helper",))
    registry.register(other)
    assert registry["helper"] is registry["new"] is registry["support-bot"] is other
    assert "bot" not in registry
    assert "support.streaming" not in registry


def test_a_model_may_be_registered_again_as_it_is(registry):
    registry.register(BOT)
    assert registry["bot"] is BOT


def test_an_alias_of_another_model_is_an_error(registry):
    with pytest.raises(
        ConfigurationError, match="alias 'bot' of model 'other' already belongs to model 'support-bot'"
    ):
        registry.register(ModelSpec(name="other", aliases=("bot",)))
    assert "other" not in registry


def test_an_alias_that_is_a_models_name_is_an_error(registry):
    with pytest.raises(ConfigurationError, match="already belongs to model 'support-bot'"):
        registry.register(ModelSpec(name="other", aliases=("support-bot",)))


def test_an_unknown_family_is_an_error(registry):
    with pytest.raises(ConfigurationError, match="nofamily"):
        registry.register(ModelSpec(name="other", family="nofamily"))


def test_the_default_registry_is_read_only():
    with pytest.raises(ConfigurationError, match="read-only"):
        default_registry().register(BOT)


def test_a_copy_of_the_default_registry_can_be_changed():
    copy = default_registry().copy()
    copy.register(BOT)
    assert copy["bot"] is BOT
    assert "bot" not in default_registry()
    assert set(copy) == {*default_registry(), "support-bot"}


def test_the_default_registry_has_the_model_of_the_embedded_server():
    spec = default_registry()["smollm2"]
    assert (spec.server_name, spec.cumulative) == ("smollm2.streaming", False)


NAMES = st.text("ab", min_size=1, max_size=2)


@given(
    st.lists(
        st.builds(ModelSpec, name=NAMES, server_name=NAMES, aliases=st.lists(NAMES, max_size=2)), max_size=5
    )
)
def test_a_friendly_name_always_means_its_own_model(specs):
    registry = ModelRegistry()
    for spec in specs:
        try:
            registry.register(spec)
        except ConfigurationError:
            continue
        assert registry[spec.name] is spec
    assert all(registry[name].name == name for name in registry)


# NuPIC's mapping


def test_the_naming_mapping_gives_the_servers_name():
    assert model_naming_mapping["smollm2"] == "smollm2.streaming"


def test_the_naming_mapping_is_a_mapping():
    assert dict(model_naming_mapping)["smollm2"] == "smollm2.streaming"
    assert len(model_naming_mapping) == len(default_registry())
    assert "smollm2" in model_naming_mapping
    assert repr(model_naming_mapping) == repr(dict(model_naming_mapping))


def test_the_naming_mapping_cannot_be_changed():
    with pytest.raises(TypeError):
        model_naming_mapping["a"] = "b"


def test_an_unknown_name_of_the_mapping_is_a_key_error():
    with pytest.raises(KeyError) as caught:
        model_naming_mapping["nope"]
    assert isinstance(caught.value, UnknownModelError)
    assert str(caught.value).startswith("no model 'nope'")


def test_get_gives_the_default_for_an_unknown_name():
    assert model_naming_mapping.get("nope", "other") == "other"


# TOML


def test_models_are_read_from_toml():
    text = '[models."a b"]\nserver_name = "x"\naliases = ["y"]\nstop = ["<end>"]\n[models.c]\n'
    assert specs_from_toml(text, "my.toml") == [
        ModelSpec(name="a b", server_name="x", aliases=("y",), stop=("<end>",)),
        ModelSpec(name="c"),
    ]


def test_a_file_without_models_has_none():
    assert specs_from_toml("", "my.toml") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models = [", "my.toml is not valid TOML"),
        ("[model.a]", "my.toml must have one table"),
        ("[models]\na = 5", "my.toml must have one table"),
        ("models = 5", "my.toml must have one table"),
        ("[[models]]", "my.toml must have one table"),
        ("[models.a]\nfoo = 1", "'a' has the unknown key 'foo': the keys are 'aliases'"),
        ("[models.a]\nfamilly = 'b'", r"unknown key 'familly': did you mean 'family'\?"),
        (
            "[models.a]\nsampling.top_b = 1",
            r"no option 'top_b': did you mean 'top_p'\? the options are 'max_tokens'",
        ),
        ("[models.a]\nname = 'b'", "unknown key 'name'"),
        ("[models.a]\ntext = 'all'", "model 'a': text must be one of"),
        ("[models.a]\ntext = []", "model 'a'"),
    ],
)
def test_toml_that_describes_no_models_is_an_error_that_names_its_source(text, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        specs_from_toml(text, "my.toml")
    assert str(caught.value).startswith("my.toml")


# Formatters


def test_a_family_has_its_formatter():
    assert get_prompt_formatter("chatml")("Hi") == formatter_for("chatml")("Hi")


@pytest.mark.parametrize("name", ["support-bot", "bot", "support.streaming"])
def test_a_model_of_the_registry_has_the_formatter_of_its_family(registry, name):
    assert get_prompt_formatter(name, registry=registry)("Hi") == formatter_for("chatml")("Hi")


def test_a_server_name_of_the_default_registry_has_a_formatter():
    assert get_prompt_formatter("smollm2.streaming").family == "smollm2"


def test_a_formatter_takes_messages():
    assert "Be brief." in get_prompt_formatter("chatml")([system("Be brief."), user("Hi")])


def test_what_is_neither_family_nor_model_is_an_error():
    with pytest.raises(ConfigurationError, match="nofamily"):
        get_prompt_formatter("nofamily")


def test_a_model_without_a_family_has_no_formatter_to_get():
    with pytest.raises(ConfigurationError, match="plain-model"):
        get_prompt_formatter("plain-model", registry=ModelRegistry([ModelSpec(name="plain-model")]))


def test_a_model_named_as_the_alias_of_another_is_found(registry):
    other = ModelSpec(name="bot")
    registry.register(other)
    assert registry["bot"] is other


@pytest.mark.parametrize("name", [5, None])
def test_what_is_no_name_has_no_formatter(name):
    with pytest.raises(ConfigurationError, match="must be a string"):
        get_prompt_formatter(name)


def test_a_key_that_is_no_name_is_a_key_error_like_any_other():
    assert model_naming_mapping.get(5) is None


# Sampling defaults


def test_the_sampling_options_of_a_model_may_be_a_mapping():
    assert ModelSpec(name="llm", sampling={"temperature": 0}).sampling == SamplingParams(temperature=0)


def test_sampling_options_are_what_they_are():
    given = SamplingParams(temperature=0)
    spec = ModelSpec(name="llm", sampling=given)
    assert spec.sampling is spec.sampling_defaults is given


def test_a_model_of_the_registry_is_registered_and_another_is_not(registry):
    assert registry.resolve("bot").registered
    assert not registry.resolve("their-model").registered


# The user's own models


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A configuration folder of the user's that is empty."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("NUPIC_MODELS", raising=False)
    return tmp_path / "nupic_client"


def test_the_models_of_the_configuration_folder_are_added(folder):
    write(folder / "models.toml", '[models.mine]\nserver_name = "a"\n')
    assert default_registry()["mine"].server_name == "a"
    assert "smollm2" in default_registry()


def test_the_models_of_the_environments_file_win(folder, monkeypatch):
    write(folder / "models.toml", '[models.mine]\nserver_name = "a"\n[models.other]\n')
    monkeypatch.setenv("NUPIC_MODELS", str(write(folder / "my.toml", '[models.mine]\nserver_name = "b"\n')))
    assert default_registry()["mine"].server_name == "b"
    assert "other" in default_registry()


def test_a_models_file_that_is_missing_is_an_error_that_names_the_variable(folder, monkeypatch):
    monkeypatch.setenv("NUPIC_MODELS", str(folder / "none.toml"))
    with pytest.raises(ConfigurationError, match=r"\$NUPIC_MODELS .*none.toml.*cannot be read"):
        default_registry()


def test_a_models_file_that_is_no_text_is_an_error(registry, tmp_path):
    file = tmp_path / "models.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        registry.load(file)


def test_a_file_may_be_loaded_into_a_registry(registry, tmp_path):
    registry.load(write(tmp_path / "models.toml", "[models.more]\n"))
    assert set(registry) == {"support-bot", "more"}


def test_a_frozen_registry_loads_nothing(registry, tmp_path):
    with pytest.raises(ConfigurationError, match="read-only"):
        registry.frozen().load(write(tmp_path / "models.toml", "[models.more]\n"))


@pytest.mark.parametrize(
    ("platform", "variable"), [("win32", "APPDATA"), ("linux", "XDG_CONFIG_HOME"), ("darwin", "HOME")]
)
def test_each_system_has_its_configuration_folder(platform, variable, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert user_config_folder().is_relative_to(tmp_path)
    assert user_config_folder().name == "nupic_client"


def test_get_of_a_registry_gives_the_default_for_an_unknown_name(registry):
    assert registry.get("nope") is None
    assert registry.get("bot") is BOT


# Found by fuzzing


@pytest.mark.parametrize("text", ["a = " + "[" * 5_000, "a = " + "9" * 5_000])
def test_toml_that_is_too_much_for_python_is_not_valid(text):
    with pytest.raises(ConfigurationError, match=r"models\.toml is not valid TOML"):
        specs_from_toml(text, "models.toml")


def test_a_number_in_a_file_that_is_too_long_to_be_shown():
    with pytest.raises(ConfigurationError, match=r"models\.toml: model 'a'"):
        specs_from_toml("[models.a]\nversion = 0x" + "f" * 5_000, "models.toml")


@pytest.mark.parametrize(
    "wrong", [{"name": " "}, {"name": "a", "aliases": [" "]}, {"name": "a", "backend": 3}]
)
def test_names_that_nobody_could_ask_for(wrong):
    with pytest.raises(ConfigurationError):
        ModelSpec(**wrong)


# A-B1: the backend of an entry


def test_the_backends_of_entries_are_those_that_there_are():
    assert tuple(backend.name for backend in BACKENDS) == BACKEND_NAMES


@pytest.mark.parametrize("name", BACKEND_NAMES)
def test_the_backend_of_an_entry_is_used(name):
    """A-B1."""
    registry = ModelRegistry(specs_from_toml(f'[models.m]\nbackend = "{name}"', "a file"))
    with StreamingClient("m", url="localhost:1", registry=registry) as client:
        assert client._backend.name == name
    with StreamingClient("m", url="localhost:1", registry=registry, backend="plain") as client:
        assert client._backend.name == "plain"


@pytest.mark.parametrize("name", ["vlm", "no-such-backend", ""])
def test_an_entry_with_an_unknown_backend_is_refused(name):
    """A-B1."""
    near = "did you mean 'vllm'" if name == "vlm" else ""
    with pytest.raises(ConfigurationError, match=f"backend must be one of 'vllm', .*{near}"):
        ModelSpec(name="m", backend=name)
    with pytest.raises(ConfigurationError, match=f"a file: model 'm': backend must be one of .*{near}"):
        specs_from_toml(f'[models.m]\nbackend = "{name}"', "a file")


def test_a_request_is_spelled_by_the_backend_of_the_entry():
    """A-B1: a model that is not detected as what it is."""
    registry = ModelRegistry([ModelSpec(name="gpt.streaming", backend="trtllm")])
    with (
        FakeTriton() as server,
        StreamingClient("gpt.streaming", url=server.url, registry=registry) as client,
    ):
        client.generate("Hi")
    assert server.requests[0].inputs["max_tokens"] == DEFAULT_MAX_TOKENS
