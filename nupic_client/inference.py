"""`InferenceClient`: models with arrays, embeddings or a complete text as their answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Literal, overload

from typing_extensions import Unpack

from nupic_client._arrays import Vectors
from nupic_client._async.bulk import AsyncResultStream
from nupic_client._async.infer_stream import AsyncInferenceStream
from nupic_client._async.stream import AsyncTextStream
from nupic_client._callbacks import AsyncOnResult, check_plain_on_result
from nupic_client._core.generation.opening import generate_unary
from nupic_client._core.inference.bulk import BulkSettings, embedding_pipeline
from nupic_client._core.inference.call import infer, infer_observed
from nupic_client._core.inference.request import check_text
from nupic_client._core.inference.result import Classification, InferenceResult
from nupic_client._core.inference.stream_opening import open_inference_stream
from nupic_client._model_client import ModelClient
from nupic_client._option_signatures import named_options
from nupic_client._parsing import AsyncParsing, Parsing
from nupic_client._public import publish
from nupic_client._single_inference import Errors, Inputs, OnResult, SingleInferenceClient, check_many
from nupic_client._sync.bulk import ResultStream
from nupic_client._sync.infer_stream import InferenceStream
from nupic_client._sync.stream import TextStream
from nupic_client.backends.protocol import Backend
from nupic_client.config import TLS, BearerTokenSource
from nupic_client.endpoint import Balancing
from nupic_client.messages import MessageLike
from nupic_client.observe import Observer
from nupic_client.options import GenerateOptions, InferOptions, InferStreamOptions, TextAs
from nupic_client.prompts import PromptFormatter
from nupic_client.registry import ModelRegistry
from nupic_client.results import Generation
from nupic_client.sequence import InferenceSequence
from nupic_client.server_url import UrlLike

__all__ = [
    "AsyncResultStream",
    "Classification",
    "InferOptions",
    "InferenceClient",
    "InferenceResult",
    "ResultStream",
]


@named_options
class InferenceClient(SingleInferenceClient, ModelClient, Parsing, AsyncParsing):
    """A client for one model: arrays in, arrays out, in one response or in many.

    One client serves any number of threads, tasks and event loops at the same time; it opens its connection
    at the first call and keeps it. A name that ends in ``.streaming`` means the model without that suffix, if the
    server has it; else the streaming model, for `generate`.

    Args:
        model: a friendly name of the registry or the server's own name of a model.
        url: the server's gRPC address, see `StreamingClient`. Default: ``$NUPIC_URL``, else
            ``localhost:8001``.
        registry: the registry to look the model up in. Default: the models that come with the package.
        backend: the adapter for the requests of `generate`, see `StreamingClient`.
        tls: certificates and names for a ``grpcs://`` url.
        bearer_token: a bearer token, or a function that returns it, see `StreamingClient`.
        allow_insecure_token: send the token in plain text to another machine.
        channel_options: gRPC channel arguments by name; they replace single defaults.
        balancing: as for `StreamingClient`.
        max_outstanding: as for `StreamingClient`.
        observer: as for `StreamingClient`.
        formatter: how conversations become prompts for `generate`: a `PromptFormatter` or the name of a family.
        text: the type of the elements of BYTES outputs, ``"str"`` or ``"bytes"``.
        **options: defaults for every call, see `GenerateOptions`: ``timeout`` (seconds, default 600),
            ``metadata``, and for `generate` the sampling options; ``signature``, a `ModelSignature`, for a model whose
            server lists no inputs.

    Raises:
        ConfigurationError: an argument is wrong. Nothing is sent by the constructor.
        TypeError: an option does not exist.

    Example:
        .. code-block:: python

            from nupic_client import InferenceClient

            with InferenceClient("sbert", url="localhost:8001") as client:
                vectors = client.embed(["a sentence", "another one"])
    """

    def __init__(
        self,
        model: str,
        url: UrlLike | None = None,
        *,
        registry: ModelRegistry | None = None,
        backend: Backend | str | None = None,
        tls: TLS | None = None,
        bearer_token: BearerTokenSource | None = None,
        allow_insecure_token: bool = False,
        channel_options: Mapping[str, str | int] | None = None,
        balancing: Balancing = "least-busy",
        max_outstanding: int | None = None,
        observer: Observer | None = None,
        formatter: PromptFormatter | str | None = None,
        text: TextAs = "str",
        **options: Unpack[GenerateOptions],
    ) -> None:
        super().__init__(
            model,
            url,
            formatter=formatter,
            registry=registry,
            backend=backend,
            tls=tls,
            bearer_token=bearer_token,
            allow_insecure_token=allow_insecure_token,
            channel_options=channel_options,
            balancing=balancing,
            max_outstanding=max_outstanding,
            observer=observer,
            **options,
        )
        self._text = check_text(text)

    def infer(self, inputs: Inputs, **options: Unpack[InferOptions]) -> InferenceResult:
        """Send one request and return the model's outputs. Blocks; thread-safe.

        Arrays must have the data type and shape that the model declares. Python values are converted to its data type
        if they fit. For a model with a batch dimension a single item may omit it, and a list of n texts has the shape
        ``[n, 1]``.

        Args:
            inputs: arrays by the name of the input, or the value of the only input: an array, a list of
                texts, a number. An `InferInput` or a `SharedMemoryTensor` may take the place of each.
            **options: options of this call, see `InferOptions`.

        Returns:
            The outputs by name.

        Raises:
            ConfigurationError: the inputs or options do not fit the model; the message says how. They were not
                sent.
            RequestError: the request failed.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                result = client.infer(["a sentence", "another one"])
                result["embedding"].shape
        """
        request, watch = self._inference_request(options), self._watch("infer")
        if watch is None:
            return self._transport.run(infer(request, inputs, self._models))
        flow = infer_observed(request, inputs, self._models, watch)
        return self._transport.run(flow)

    async def ainfer(self, inputs: Inputs, **options: Unpack[InferOptions]) -> InferenceResult:
        """Send one request and return the model's outputs; the async twin of `infer`. Task-safe.

        Args:
            inputs: as for `infer`.
            **options: as for `infer`.

        Returns:
            As `infer`.

        Raises:
            ConfigurationError: as for `infer`.
            RequestError: as for `infer`.
            TypeError: an option does not exist.
        """
        request, watch = self._inference_request(options), self._watch("infer")
        if watch is None:
            return await self._async_transport.run(infer(request, inputs, self._models))
        flow = infer_observed(request, inputs, self._models, watch)
        return await self._async_transport.run(flow)

    def infer_stream(self, inputs: Inputs, **options: Unpack[InferStreamOptions]) -> InferenceStream:
        """Send one request and return its results as a stream, to iterate over: any number of them, also none.

        For decoupled models of any kind; a model that answers once gives one result. Blocks only for the model's signature,
        once. Thread-safe. Leaving the stream cancels the request.

        Args:
            inputs: as for `infer`.
            **options: options of this call, see `InferStreamOptions`.

        Returns:
            The stream, also a context manager.

        Raises:
            ConfigurationError: the inputs or options do not fit the model; the message says how. They were not
                sent.
            RequestError: the model's signature could not be asked for.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                with client.infer_stream({"IN": [4, 2, 0, 1]}) as stream:
                    for result in stream:
                        print(result["OUT"], result.parameters)
        """
        request = self._inference_request(options, streamed=True)
        watch = self._watch("infer_stream", streaming=True)
        opening = open_inference_stream(request, inputs, self._models, bearer=self._bearer, watch=watch)
        return InferenceStream(self._transport, self._transport.run(opening))

    def ainfer_stream(self, inputs: Inputs, **options: Unpack[InferStreamOptions]) -> AsyncInferenceStream:
        """Return the results of one request as an async stream; the async twin of `infer_stream`. Does not block.

        ``async with`` or the first read sends the request, and raises what is wrong with the inputs.

        Args:
            inputs: as for `infer`.
            **options: as for `infer_stream`.

        Returns:
            The stream, also an async context manager.

        Raises:
            ConfigurationError: an option is wrong.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                async with client.ainfer_stream({"IN": [4, 2, 0, 1]}) as stream:
                    async for result in stream:
                        print(result["OUT"], result.parameters)
        """
        request = self._inference_request(options, streamed=True)
        watch = self._watch("infer_stream", streaming=True)
        opening = open_inference_stream(request, inputs, self._models, bearer=self._bearer, watch=watch)
        return AsyncInferenceStream(self._async_transport, opening, request.options.request_id or "")

    def sequence(
        self, sequence_id: int | str | None = None, *, end_with: Inputs | None = None
    ) -> InferenceSequence:
        """Return a sequence of requests that a stateful model answers with one state. Sends nothing.

        Args:
            sequence_id: the id of the sequence, which no other one may have on the server at the same time: a positive
                integer, or a text where the model declares one. Default: a random number.
            end_with: inputs of a last request, sent when the block of the sequence is left before its end, also by an
                exception. Without them the server keeps the state, and its place in the batch, until the sequence was idle
                for the model's ``max_sequence_idle_microseconds``.

        Returns:
            The sequence, a context manager for ``with`` and ``async with``.

        Raises:
            ConfigurationError: the id is not possible.

        Example:
            .. code-block:: python

                with client.sequence(end_with=[0]) as sequence:
                    sequence.infer([3])
                    print(sequence.infer([4], end=True).only)
        """
        return InferenceSequence(
            self._inference_request,
            self._models,
            self._transport,
            self._async_transport,
            self._bearer,
            self._watch,
            sequence_id=sequence_id,
            end_with=end_with,
        )

    def embed(
        self,
        texts: str | Iterable[str],
        *,
        output: str | None = None,
        batch_size: int | None = None,
        concurrency: int = 8,
        **options: Unpack[InferOptions],
    ) -> Vectors:
        """Turn texts into vectors. Blocks; thread-safe.

        The texts are sent in batches of ``batch_size``, several at a time; one by one to a model without a batch
        dimension.

        Args:
            texts: the texts, or a single one.
            output: name of the output with the vectors; required if the model has several outputs of floating-point
                numbers.
            batch_size: number of texts in one request. Default: the most that the model takes.
            concurrency: number of requests at the same time.
            **options: as for `infer`, without ``outputs`` and ``request_id``; ``timeout`` applies to
                each request.

        Returns:
            An array of float32 with the shape ``(n_texts, dim)``. Without texts it is ``(0, dim)``, with ``dim`` 0 if
            the model does not declare it.

        Raises:
            ConfigurationError: the model does not turn one text into one vector, or an argument is wrong.
            RequestError: a request failed; the others are cancelled.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                vectors = client.embed(["a sentence", "another one"])
        """
        settings = BulkSettings(concurrency=concurrency, ordered=False)
        watch = self._watch("embed")
        batcher = self._transport.run(self._embedding(texts, options, output, batch_size, watch))
        pipeline = embedding_pipeline(batcher, settings, watch)
        with ResultStream[tuple[int, InferenceResult]](
            self._transport, pipeline, batcher.inputs(), None, watch
        ) as results:
            for index, result in results:
                batcher.add(index, result)
        return batcher.matrix()

    async def aembed(
        self,
        texts: str | Iterable[str],
        *,
        output: str | None = None,
        batch_size: int | None = None,
        concurrency: int = 8,
        **options: Unpack[InferOptions],
    ) -> Vectors:
        """Turn texts into vectors; the async twin of `embed`. Task-safe.

        Args:
            texts: as for `embed`.
            output: as for `embed`.
            batch_size: as for `embed`.
            concurrency: as for `embed`.
            **options: as for `embed`.

        Returns:
            As `embed`.

        Raises:
            ConfigurationError: as for `embed`.
            RequestError: as for `embed`.
            TypeError: an option does not exist.
        """
        settings = BulkSettings(concurrency=concurrency, ordered=False)
        watch = self._watch("embed")
        batcher = await self._async_transport.run(self._embedding(texts, options, output, batch_size, watch))
        pipeline = embedding_pipeline(batcher, settings, watch)
        results: AsyncResultStream[tuple[int, InferenceResult]]
        results = AsyncResultStream(self._async_transport, pipeline, batcher.inputs(), None, watch)
        async with results:
            async for index, result in results:
                batcher.add(index, result)
        return batcher.matrix()

    def generate(self, prompt: str | Iterable[MessageLike], **options: Unpack[GenerateOptions]) -> Generation:
        """Generate a text and return it when it is complete. Blocks; thread-safe.

        With a model that streams, the stream is read to its end.

        Args:
            prompt: a text, sent unchanged, or a list of messages, rendered by the model's prompt formatter.
            **options: options of this call, see `GenerateOptions`.

        Returns:
            The generation with its text, finish reason, usage and timing.

        Raises:
            ConfigurationError: an option or the prompt is wrong, or the model does not support an option; nothing was
                sent.
            PromptError: the conversation does not fit the model's format.
            RequestError: the request failed; ``partial_text`` has the text so far.
            OutputError: the answer does not have the form that ``response_format`` asks for.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                print(client.generate("Once upon a time", max_tokens=100).text)
        """
        asking = self._asking(prompt, options)
        if asking is None:
            return self._generate(prompt, options)
        return self._until_valid(asking, self._generate)

    def _generate(self, prompt: str | Iterable[MessageLike], options: GenerateOptions) -> Generation:
        request = self._request(prompt, options, watch=self._watch("generate", streaming=None))
        outcome = self._transport.run(generate_unary(request, self._models, self._request_cache))
        if isinstance(outcome, Generation):
            return outcome
        with TextStream(self._transport, outcome) as stream:
            return stream.result()

    async def agenerate(
        self, prompt: str | Iterable[MessageLike], **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Generate a text and return it when it is complete; the async twin of `generate`. Task-safe.

        Args:
            prompt: as for `generate`.
            **options: as for `generate`.

        Returns:
            As `generate`.

        Raises:
            ConfigurationError: as for `generate`.
            PromptError: as for `generate`.
            RequestError: as for `generate`.
            TypeError: an option does not exist.
        """
        asking = self._asking(prompt, options)
        if asking is None:
            return await self._agenerate(prompt, options)
        return await self._auntil_valid(asking, self._agenerate)

    async def _agenerate(self, prompt: str | Iterable[MessageLike], options: GenerateOptions) -> Generation:
        request = self._request(prompt, options, watch=self._watch("generate", streaming=None))
        outcome = await self._async_transport.run(generate_unary(request, self._models, self._request_cache))
        if isinstance(outcome, Generation):
            return outcome
        request_id = outcome.request.request_id
        async with AsyncTextStream(self._async_transport, outcome, request_id) as stream:
            return await stream.result()

    @overload
    def map(
        self,
        inputs: Iterable[Inputs],
        *,
        concurrency: int = ...,
        ordered: Literal[True] = ...,
        callback: OnResult | None = ...,
        errors: Literal["raise"] = ...,
        batch_size: int | None = ...,
        **options: Unpack[InferOptions],
    ) -> ResultStream[InferenceResult]: ...
    @overload
    def map(
        self,
        inputs: Iterable[Inputs],
        *,
        concurrency: int = ...,
        ordered: bool = ...,
        callback: OnResult | None = ...,
        errors: Errors = ...,
        batch_size: int | None = ...,
        **options: Unpack[InferOptions],
    ) -> ResultStream[Any]: ...
    def map(
        self,
        inputs: Iterable[Inputs],
        *,
        concurrency: int = 32,
        ordered: bool = True,
        callback: OnResult | None = None,
        errors: Errors = "raise",
        batch_size: int | None = None,
        **options: Unpack[InferOptions],
    ) -> ResultStream[Any]:
        """Send many inputs, several at a time, and return their results as an iterator. Thread-safe.

        Reading the iterator reads the inputs and sends them, a bounded number ahead: inputs may be endless,
        and memory stays flat. Both happen in the thread that reads, over a connection of their own. A slow input holds up
        the results; with `amap` it does not. Leaving the iterator cancels what is on its way.

        Args:
            inputs: any iterable of what `infer` takes.
            concurrency: number of requests at the same time.
            ordered: yield results in the order of the inputs; otherwise as they complete, each as ``(index, result)``.
            callback: called with index and result of each input as it completes, on the reading thread.
            errors: ``"raise"`` raises the error of an input in place of its result, which ends the iteration;
                ``"return"`` yields it.
            batch_size: number of rows that are combined into one request, for a model with a batch dimension. The
                results are the same.
            **options: as for `infer`, without ``request_id``; ``timeout`` applies to each request.

        Returns:
            The results, also a context manager. Nothing is sent before the first read.

        Raises:
            ConfigurationError: an argument is wrong.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                for result in client.map(arrays, concurrency=8):
                    print(result.only.shape)
        """
        check_many(inputs, Iterable)
        check_plain_on_result(callback)
        watch = self._watch("map")
        opening = self._bulk(
            options,
            callback,
            watch,
            concurrency=concurrency,
            ordered=ordered,
            errors=errors,
            batch_size=batch_size,
        )
        return ResultStream(self._transport, opening, inputs, callback, watch)

    @overload
    def amap(
        self,
        inputs: Iterable[Inputs] | AsyncIterable[Inputs],
        *,
        concurrency: int = ...,
        ordered: Literal[True] = ...,
        callback: AsyncOnResult | None = ...,
        errors: Literal["raise"] = ...,
        batch_size: int | None = ...,
        **options: Unpack[InferOptions],
    ) -> AsyncResultStream[InferenceResult]: ...
    @overload
    def amap(
        self,
        inputs: Iterable[Inputs] | AsyncIterable[Inputs],
        *,
        concurrency: int = ...,
        ordered: bool = ...,
        callback: AsyncOnResult | None = ...,
        errors: Errors = ...,
        batch_size: int | None = ...,
        **options: Unpack[InferOptions],
    ) -> AsyncResultStream[Any]: ...
    def amap(
        self,
        inputs: Iterable[Inputs] | AsyncIterable[Inputs],
        *,
        concurrency: int = 32,
        ordered: bool = True,
        callback: AsyncOnResult | None = None,
        errors: Errors = "raise",
        batch_size: int | None = None,
        **options: Unpack[InferOptions],
    ) -> AsyncResultStream[Any]:
        """Send many inputs, several at a time, and return an async iterator; the async twin of `map`. Task-safe.

        Args:
            inputs: any iterable or async iterable of what `infer` takes.
            concurrency: as for `map`.
            ordered: as for `map`.
            callback: a function or a coroutine function, called in the reading task.
            errors: as for `map`.
            batch_size: as for `map`.
            **options: as for `map`.

        Returns:
            The results, also an async context manager. Nothing is sent before the first read.

        Raises:
            ConfigurationError: as for `map`.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                async for result in client.amap(arrays, concurrency=8):
                    print(result.only.shape)
        """
        check_many(inputs, Iterable, AsyncIterable)
        watch = self._watch("map")
        opening = self._bulk(
            options,
            callback,
            watch,
            concurrency=concurrency,
            ordered=ordered,
            errors=errors,
            batch_size=batch_size,
        )
        return AsyncResultStream(self._async_transport, opening, inputs, callback, watch)


publish(__name__)
