"""All targets by name: a function of bytes that raises what is wrong, and returns where all is well."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import answers, settings, streams, templates, texts

TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        streams.stream_raw,
        streams.stream_faulty,
        streams.stream_mutated,
        answers.tensors,
        answers.tensors_raw,
        answers.signature,
        answers.error_text,
        answers.error_status,
        texts.utf8_split,
        texts.stop_scanner,
        texts.cumulative_text,
        texts.prompt_remover,
        texts.token_joiner,
        settings.url,
        settings.settings,
        settings.models_toml,
        settings.model_name,
        templates.chat_template,
        templates.tokenizer_config,
    )
}
