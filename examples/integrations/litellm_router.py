"""LiteLLM's router over two servers: where the first one does not answer, the second one does.

pip install 'nupic-client[litellm]'
python litellm_router.py gpu1:8001 gpu2:8001
"""

from __future__ import annotations

import argparse

import litellm

from nupic_client.integrations.litellm import register


def main() -> None:
    """Answer one question as a stream."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first", help="the address of a server")
    parser.add_argument("second", help="the one that answers where the first does not")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--question", default="Why is the sky blue?")
    arguments = parser.parse_args()

    register()
    router = litellm.Router(
        model_list=[
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"nupic/{arguments.model}",
                    "api_base": url,
                    "max_tokens": 200,
                    "first_token_timeout": 10,
                    "max_retries": 0,
                },
            }
            for name, url in (("first", arguments.first), ("second", arguments.second))
        ],
        fallbacks=[{"first": ["second"]}],
        num_retries=0,
    )
    messages = [{"role": "user", "content": arguments.question}]
    for chunk in router.completion("first", messages, stream=True):
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    response = router.completion("second", messages)
    print(f"\nThe second server counted {response.usage.completion_tokens} tokens.")


if __name__ == "__main__":
    main()
