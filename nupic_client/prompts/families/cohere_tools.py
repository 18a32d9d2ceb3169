"""The tools of Cohere's Command R, as its template ``tool_use`` shows them: functions without a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.prompts.python_types import described, properties_of, python_type
from nupic_client.prompts.tool_format import CallFormat, ListPlace, ResultFormat, ToolFormat, ToolList
from nupic_client.prompts.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nupic_client.tools import Tool

__all__ = ["COMMAND_R_TOOLS"]

_START = "<|START_OF_TURN_TOKEN|>"
_END = "<|END_OF_TURN_TOKEN|>"
_SYSTEM = f"{_START}<|SYSTEM_TOKEN|>"
_CHATBOT = f"{_START}<|CHATBOT_TOKEN|>"


def _stubs(tools: Sequence[Tool]) -> str:
    return "\n\n".join([_stub(tool) for tool in tools])


def _stub(tool: Tool) -> str:
    properties = properties_of(tool)
    required = tool.parameters.get("required")
    required = required if isinstance(required, list) else []
    types = {name: python_type(schema, "List[{}]", "Dict[str, {}]") for name, schema in properties.items()}
    kinds = {name: kind if name in required else f"Optional[{kind}]" for name, kind in types.items()}
    parameters = ", ".join(
        [f"{name}: {kind}{'' if name in required else ' = None'}" for name, kind in kinds.items()]
    )
    lines = "\n        ".join(
        [f"{name} ({kind}): {described(properties[name])}" for name, kind in kinds.items()]
    )
    args = f"\n\n    Args:\n        {lines}" if properties else ""
    return (
        f"```python\ndef {tool.name}({parameters}) -> List[Dict]:\n"
        f'    """{tool.description}{args}\n    """\n    pass\n```'
    )


COMMAND_R_TOOLS = ToolFormat(
    listing=ToolList(
        place=ListPlace.SYSTEM,
        system=Turn(
            f"{_SYSTEM}# Safety Preamble\n"
            "The instructions in this section override those in the task description and style guide sections. Don't "
            "answer questions that are harmful or immoral.\n\n# System Preamble\n## Basic Rules\n"
            "You are a powerful conversational AI trained by Cohere to help people. You are augmented by a number of "
            "tools, and your job is to use and consume the output of these tools to best help the user. You will see a "
            "conversation history between yourself and a user, ending with an utterance from the user. You will then see "
            "a specific instruction instructing you what kind of response to generate. When you answer the user's "
            "requests, you cite your sources in your answers, according to those instructions.\n\n# User Preamble\n",
            _END,
        ),
        default_system=(
            "## Task and Context\nYou help people answer their questions and other requests interactively. You will be "
            "asked a very wide array of requests on all kinds of topics. You will be equipped with a wide range of search "
            "engines or similar tools to help you, which you use to research your answer. You should focus on serving the "
            "user's needs as best you can, which will be wide-ranging.\n\n## Style Guide\nUnless the user asks for a "
            "different style of answer, you should answer in full sentences, using proper grammar and spelling."
        ),
        late_system=Turn(_SYSTEM, _END, str.strip),
        before="\n\n## Available Tools\nHere is a list of tools that you have available to you:\n\n",
        write=_stubs,
        closing=(
            f"{_SYSTEM}Write 'Action:' followed by a json-formatted list of actions that you want to perform in order to "
            "produce a good response to the user's last input. You can use any of the supplied tools any number of times, "
            "but you should aim to execute the minimum number of necessary actions for the input. You should use the "
            "`directly-answer` tool if calling the other tools is unnecessary. The list of actions you want to call should "
            "be formatted as a list of json objects, for example:\n```json\n[\n    {\n"
            '        "tool_name": title of the tool in the specification,\n'
            '        "parameters": a dict of parameters to input into the tool as they are defined in the specs, or {} if '
            f"it takes no parameters\n    }}\n]```{_END}"
        ),
    ),
    calls=CallFormat(
        start=_CHATBOT,
        content=Turn("", "", str.strip),
        before="\nAction:\n```json\n[\n",
        item='    {\n        "tool_name": "$name",\n        "parameters": $indented\n    }',
        between=",\n",
        after="\n]```\n",
        end="",
    ),
    results=ResultFormat(item=f"{_SYSTEM}<results>\n$trimmed</results>{_END}"),
    markers=("</results>",),
)
