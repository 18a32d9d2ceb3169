"""Stand-ins for TensorRT-LLM's models: the engine, the steps of the ensemble, the BLS and the LLM-API."""

import itertools
import json
import traceback

import fake_llm
import numpy as np
import triton_python_backend_utils as pb_utils

_STREAM_REFUSED = "Streaming is only supported in decoupled mode."


class Engine:
    """The raw engine: token ids in, token ids out; a batch of one."""

    def initialize(self, args):
        self._name = args["model_name"]

    def execute(self, requests):
        fake_llm.in_threads(requests, self._answer)

    def _answer(self, call):
        try:
            self._generate(call)
        except fake_llm.FailureError as error:
            call.fail(str(error))
        except Exception as error:
            call.fail(
                f"An error occurred when processing the input values for request id {call.request_id}, "
                f"the error was '{error}'"
            )

    def _generate(self, call):
        if call.value("stop"):
            if not call.request_id:
                raise ValueError("A request id must be provided for request cancellation")
            call.finish()
            return
        given, limit = call.values("input_ids"), call.value("request_output_len")
        if limit <= 0:
            raise ValueError("request_output_len must be > 0")
        prompt = fake_llm.Prompt(fake_llm.to_bytes(given).decode())
        ids = _until_stop(fake_llm.to_ids("".join(prompt.tokens())), call.values("stop_words_list"))
        echo = not call.value("exclude_input_in_output", False)
        streaming = call.value("streaming", False)
        whole = []
        for number, reason in prompt.generate(ids, limit):
            whole.append(number)
            if streaming:
                if call.cancelled:
                    fake_llm.log_event(self._name, "cancelled", request_id=call.request_id)
                    call.finish()
                    return
                call.send(_engine_outputs(call, [number], len(given), 1), final=reason is not None)
        fake_llm.log_event(self._name, "done", request_id=call.request_id)
        if not streaming:
            # With the echo the engine counts the prompt as output, too.
            output = (given if echo else []) + whole
            call.send(_engine_outputs(call, output, len(given), len(output)), final=True)


def _engine_outputs(call, ids, input_tokens, output_tokens):
    outputs = [
        fake_llm.tensor("output_ids", ids, np.int32, (1, 1, -1)),
        fake_llm.tensor("sequence_length", [len(ids)], np.int32, (1, 1)),
    ]
    for name, count in (("num_input_tokens", input_tokens), ("num_output_tokens", output_tokens)):
        if call.value(f"return_{name}", False):
            outputs.append(fake_llm.tensor(name, [count], np.int32, (1, 1)))
    return outputs


def _until_stop(ids, words):
    """Cut after the first stop word: row 0 has the ids of all words, row 1 where each ends; -1 fills up."""
    half = len(words) // 2
    starts = [0, *(end for end in words[half:] if end > 0)]
    for start, end in itertools.pairwise(starts):
        word = words[start:end]
        for index in range(len(ids)):
            if ids[index : index + len(word)] == word:
                ids = ids[: index + len(word)]
    return ids


class Preprocessing:
    """First step of the ensemble: texts to token ids."""

    def initialize(self, args):
        pass

    def execute(self, requests):
        return [self._respond(fake_llm.Call(request, decoupled=False)) for request in requests]

    def _respond(self, call):
        ids = fake_llm.to_ids(call.value("QUERY"))
        words = [fake_llm.to_ids(word) for word in call.values("STOP_WORDS_DICT")]
        flat = [number for word in words for number in word]
        ends = np.cumsum([len(word) for word in words]).tolist()
        width = max(len(flat), 1)
        rows = [flat + [-1] * (width - len(flat)), ends + [-1] * (width - len(ends))]
        outputs = [
            fake_llm.tensor("INPUT_ID", ids, np.int32, (1, -1)),
            fake_llm.tensor("REQUEST_INPUT_LEN", [len(ids)], np.int32, (1, 1)),
            fake_llm.tensor("REQUEST_OUTPUT_LEN", call.values("REQUEST_OUTPUT_LEN"), np.int32, (1, 1)),
            fake_llm.tensor("STOP_WORDS_IDS", rows, np.int32, (1, 2, width)),
        ]
        return pb_utils.InferenceResponse(output_tensors=outputs)


class Postprocessing:
    """Last step of the ensemble: token ids to text, each response alone, so that characters may be torn."""

    def initialize(self, args):
        pass

    def execute(self, requests):
        return [self._respond(fake_llm.Call(request, decoupled=False)) for request in requests]

    def _respond(self, call):
        text = fake_llm.to_bytes(call.values("TOKENS_BATCH")).decode(errors="replace")
        return pb_utils.InferenceResponse(output_tensors=[fake_llm.tensor("OUTPUT", [text], bytes, (1, 1))])


class Bls:
    """The model that does all three steps by itself; a batch of one."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self._name = config["name"]
        self._accumulate = config["parameters"]["accumulate_tokens"]["string_value"].lower() == "true"
        self._decoupled = config["model_transaction_policy"]["decoupled"]

    def execute(self, requests):
        fake_llm.in_threads(requests, self._answer)

    def _answer(self, call):
        try:
            self._generate(call)
        except Exception:
            # It sends whole tracebacks, and the final mark after them.
            call.fail(traceback.format_exc(), final=False)
        call.finish()

    def _generate(self, call):
        limit, streaming = call.value("max_tokens"), call.value("stream", False)
        if limit <= 0:
            raise ValueError("max_tokens must be a single value > 0")
        if streaming and call.value("num_draft_tokens") is not None:
            raise ValueError("Streaming is not supported with num_draft_tokens")
        prompt = fake_llm.Prompt(call.value("text_input"))
        given = fake_llm.to_ids(prompt.text)
        echo = "" if streaming or call.value("exclude_input_in_output", False) else prompt.text
        whole, text = [], ""
        for number, _ in prompt.generate(fake_llm.to_ids("".join(prompt.tokens())), limit):
            if call.cancelled:
                fake_llm.log_event(self._name, "cancelled", request_id=call.request_id)
                return
            whole.append(number)
            text = fake_llm.to_bytes(whole).decode(errors="replace")
            if streaming:
                # Unless they are accumulated, the tokens of each response are decoded by themselves.
                shown = text if self._accumulate else fake_llm.to_bytes([number]).decode(errors="replace")
                call.send(_bls_outputs(call, shown, len(given), 1))
            if any(word in text for word in call.values("stop_words")):
                break
        if not streaming:
            call.send(_bls_outputs(call, echo + text, len(given), len(whole) + len(given) * bool(echo)))


def _bls_outputs(call, text, input_tokens, output_tokens):
    outputs = [fake_llm.tensor("text_output", [text], bytes, (1, 1))]
    for name, count in (("num_input_tokens", input_tokens), ("num_output_tokens", output_tokens)):
        if call.value(f"return_{name}", False):
            outputs.append(fake_llm.tensor(name, [count], np.int32, (1, 1)))
    return outputs


def _asked_for(call):
    """Return the images and the adapter of a request to the LLM-API model, one token each."""
    adapter = [call.value(f"lora_{fact}") for fact in ("id", "name", "path")]
    if any(fact is not None for fact in adapter):
        if None in adapter:
            raise ValueError("lora_id, lora_name and lora_path must be given together")
        adapter.append(call.value("lora_ckpt_source", "hf"))
    return [f" {fact}" for fact in (*call.values("image_url"), *adapter) if fact is not None]


class LlmApi:
    """The LLM-API model: the whole text so far in each response, and numbers that are sent as strings."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self._name = config["name"]
        self._decoupled = config["model_transaction_policy"]["decoupled"]

    def execute(self, requests):
        if self._decoupled:
            return fake_llm.in_threads(requests, self._answer)
        return [self._once(fake_llm.Call(request, decoupled=False)) for request in requests]

    def _once(self, call):
        try:
            return pb_utils.InferenceResponse(output_tensors=list(self._generate(call))[-1][0])
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(_llmapi_error(error)))

    def _answer(self, call):
        try:
            for outputs, last in self._generate(call):
                if call.cancelled:
                    fake_llm.log_event(self._name, "cancelled", request_id=call.request_id)
                    call.fail("Request cancelled by client", code=pb_utils.TritonError.CANCELLED)
                    return
                call.send(outputs, final=last)
        except Exception as error:
            call.fail(_llmapi_error(error), [fake_llm.tensor("text_output", ["N/A"], bytes)])

    def _generate(self, call):
        streaming = call.value("streaming", False)
        if streaming and not self._decoupled:
            raise ValueError(_STREAM_REFUSED)
        prompt = fake_llm.Prompt(call.value("text_input"))
        excluded = streaming or call.value("sampling_param_exclude_input_from_output", False)
        text, count = "" if excluded else prompt.text, 0
        stops = call.values("sampling_param_stop")
        tokens = _asked_for(call) or prompt.tokens()
        for token, reason in prompt.generate(tokens, call.value("sampling_param_max_tokens", 32)):
            text, count = text + token, count + 1
            stop = next((word for word in stops if word in text), None)
            if stop is not None:
                text, reason = text[: text.index(stop)], "stop"
            if streaming or reason:
                yield _llmapi_outputs(call, text, reason, stop, count), reason is not None
            if reason:
                return


def _llmapi_outputs(call, text, reason, stop, count):
    values = {"text_output": text}
    if call.value("return_finish_reason", False):
        values["finish_reason"] = str(reason)
    if call.value("return_stop_reason", False):
        values["stop_reason"] = str(stop)
    # Declared as numbers, sent as strings.
    if call.value("return_cumulative_logprob", False):
        values["cumulative_logprob"] = str(-0.5 * count)
    if call.value("sampling_param_return_perf_metrics", False):
        values |= {"kv_cache_reused_block": "0", "first_token_time_ns": "1", "acceptance_rate": "0.0"}
    return [fake_llm.tensor(name, [value], bytes) for name, value in values.items()]


def _llmapi_error(error):
    return _STREAM_REFUSED if str(error) == _STREAM_REFUSED else f"Error generating request: {error}"
