"""What an error says about a name that is not known: the near ones, and those that exist."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

__all__ = ["called_here", "did_you_mean", "listed"]


_SHORTENED = 3
"""As many letters, or more, can be the beginning of a name."""


def did_you_mean(name: object, known: Iterable[str], *, most: int = 1) -> str:
    """Return the nearest of the known names as a question, to stand before the list of them.

    Args:
        name: the name that is not known.
        known: the names that are.
        most: how many names to suggest at most.

    Returns:
        The question and a space; empty where no name is near.

    Example:
        >>> did_you_mean("temprature", ["temperature", "top_p"])
        "did you mean 'temperature'? "
        >>> did_you_mean("temp", ["temperature", "top_p"])
        "did you mean 'temperature'? "
        >>> did_you_mean("TopP", ["temperature", "top_p"])
        "did you mean 'top_p'? "
    """
    import difflib  # noqa: PLC0415  # only errors need it

    text, known = str(name), [*known]
    near = difflib.get_close_matches(text, known, n=most)
    if not near:  # INPUT0 for input0
        folded = {each.casefold(): each for each in known}
        near = [folded[each] for each in difflib.get_close_matches(text.casefold(), folded, n=most)]
    if not near and len(text) >= _SHORTENED:
        near = [longer for longer in known if longer.startswith(text)][:most]
    return f"did you mean {' or '.join(map(repr, near))}? " if near else ""


def called_here(name: str, known: Container[str]) -> str:
    """Return what to write here for an option of another library, to stand in place of the list of the options.

    Args:
        name: the name that is not known.
        known: the names that are: what only others have helps nobody.

    Returns:
        The sentence; empty for a name that is not known from elsewhere either.

    Example:
        >>> called_here("headers", ["metadata"])
        "give metadata={'name': 'value'}"
    """
    option, advice = _ELSEWHERE.get(name, ("", ""))
    return advice if not option or option in known else ""


def _options(words: str, advice: str, option: str = "") -> dict[str, tuple[str, str]]:
    return dict.fromkeys(words.split(), (option, advice))


_ELSEWHERE: Mapping[str, tuple[str, str]] = {
    **_options("max_new_tokens max_completion_tokens max_output_tokens", "give max_tokens=", "max_tokens"),
    **_options("num_predict n_predict max_length request_output_len", "give max_tokens=", "max_tokens"),
    **_options("stop_sequences stop_strings stop_words stop_token", "give stop=", "stop"),
    **_options("random_seed", "give seed=", "seed"),
    **_options("repeat_penalty", "give repetition_penalty=", "repetition_penalty"),
    **_options("do_sample", "give temperature=0 for the most likely tokens", "temperature"),
    **_options("top_logprobs", "give logprobs= with their number", "logprobs"),
    **_options(
        "format json_schema guided_json response_model schema output_type",
        "give response_format=",
        "response_format",
    ),
    **_options("functions", "give tools=", "tools"),
    **_options("function_call", "give tool_choice=", "tool_choice"),
    **_options(
        "chat_template_kwargs enable_thinking",
        "give template_variables={'name': value}",
        "template_variables",
    ),
    **_options(
        "think thinking reasoning_effort",
        "give template_variables= with the variable of the model's template, such as {'enable_thinking': False};"
        " reasoning= says where its text goes",
        "template_variables",
    ),
    **_options("headers extra_headers default_headers", "give metadata={'name': 'value'}", "metadata"),
    **_options(
        "extra_body", "give backend_inputs= for inputs of the model, or parameters=", "backend_inputs"
    ),
    **_options("extra_query", "give parameters=", "parameters"),
    **_options("request_timeout client_timeout deadline", "give timeout=", "timeout"),
    **_options("retries num_retries", "give max_retries=", "max_retries"),
    **_options(
        "stream streaming", "call client.stream(prompt), or astream, which return a stream", "max_tokens"
    ),
    **_options("stream_options", "the counts of tokens are in Generation.usage", "max_tokens"),
    **_options(
        "n num_return_sequences best_of", "call client.map([prompt] * n) for several answers", "max_tokens"
    ),
    **_options(
        "system system_prompt system_message instructions",
        'put system("…") before the other messages, as in [system("…"), user("…")]',
        "max_tokens",
    ),
    **_options(
        "messages prompt prompts text contents history",
        "give the text or the list of messages to generate or stream as the first argument",
        "max_tokens",
    ),
    **_options(
        "image images",
        'put ImagePart(path) into the content of a message, as in user([TextPart("…"), ImagePart(path)])',
        "max_tokens",
    ),
    **_options(
        "options generation_config sampling_params config params",
        "give each option by its name, as in max_tokens=100, or **options",
        "max_tokens",
    ),
    **_options("model", "each client is for one model: make one with StreamingClient(model)"),
    **_options("api_key token auth_token access_token token_provider", "give bearer_token= to the client"),
    **_options("base_url host port endpoint server_url address", "give url= to the client"),
    **_options(
        "use_tls use_ssl ssl verify root_certificates", "give a grpcs:// url and tls=TLS(…) to the client"
    ),
}
"""For an option of another library: ours, where it must be among the known ones, and what to write."""


def listed(names: Iterable[str], *, most: int = 20) -> str:
    """Return names for an error text; of many the first, and how many more there are.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        "'a', 'b' and 1 more"
    """
    quoted = [*map(repr, names)]
    rest = f" and {len(quoted) - most} more" if len(quoted) > most else ""
    return ", ".join(quoted[:most]) + rest
