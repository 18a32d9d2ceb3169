"""An agent of LlamaIndex that looks things up in text files and calculates, with models of your server.

python llama_index_agent.py "What is 17 * 23?" --documents notes/
python llama_index_agent.py "What do the notes say about zebras?" --documents notes/ --model qwen3 --formatter qwen3
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult

from nupic_client import NupicError
from nupic_client.integrations.llama_index import NupicEmbedding, NupicLLM


def multiply(a: float, b: float) -> float:
    """Multiply two numbers."""
    return a * b


async def answer(arguments: argparse.Namespace) -> None:
    """Answer one question, and show how."""
    llm = NupicLLM(arguments.model, arguments.url, formatter=arguments.formatter, max_tokens=500)
    embedding = NupicEmbedding(arguments.embedding_model, arguments.url)
    texts = [path.read_text(encoding="utf-8") for path in sorted(arguments.documents.glob("*.txt"))]
    index = VectorStoreIndex.from_documents([Document(text=text) for text in texts], embed_model=embedding)
    retriever = index.as_retriever(similarity_top_k=1)

    async def notes(question: str) -> str:
        """Look up in the notes what they say about something."""
        return "\n".join(found.text for found in await retriever.aretrieve(question))

    run = FunctionAgent(llm=llm, tools=[multiply, notes]).run(arguments.question)
    async for event in run.stream_events():
        if isinstance(event, ToolCallResult):
            print(f"[{event.tool_name}: {event.tool_output.content}]")
        elif isinstance(event, AgentStream):
            print(event.delta, end="", flush=True)
    print()
    await run


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("question")
    parser.add_argument("--documents", type=Path, required=True, help="a folder with text files")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--formatter", help="the family of the model, if its name does not tell")
    parser.add_argument("--embedding-model", default="smollm2-embed")
    parser.add_argument("--url", default="localhost:8001")
    try:
        asyncio.run(answer(parser.parse_args()))
    except NupicError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
