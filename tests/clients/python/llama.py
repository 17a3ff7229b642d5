"""LlamaIndex's OpenAILike: chats, and calls of a tool."""

import asyncio
from functools import partial

from frameworks import OBJECT, QUESTION, STREAM, TEXT, TOOL, Said, closely, compare, everywhere, without
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from support import MANNERS, readme

# What it gets wrong without millpond.
BREAKS = {
    "huggingface": (TEXT, STREAM),  # the tags of the reasoning stay in the text
    "mistral-magistral": (TEXT, STREAM),  # text in parts is no text to it
    "hyperbolic": (TEXT, STREAM),  # choices that are null end it
    "whole-message": (TEXT, STREAM),  # a delta that is none ends it
    "legacy": (TOOL, STREAM),  # the call is not seen
    "home-made-cr": (TOOL, STREAM),  # the arguments are lost
    "openai/cut-after-3": (TEXT, STREAM),  # half an answer is an answer
}

# The first piece of what the fake provider thinks.
FIRST = "A"


def weather(city: str, days: int) -> str:
    """What the sky will do."""
    return MANNERS["tool_result"]


WEATHER = FunctionTool.from_defaults(weather)


async def ask(llm, messages, turn, streams):
    if turn == TOOL:
        if not streams:
            return await llm.achat_with_tools([WEATHER], chat_history=messages)
        answers = await llm.astream_chat_with_tools([WEATHER], chat_history=messages)
    elif not streams:
        return await llm.achat(messages)
    else:
        answers = await llm.astream_chat(messages)
    said, last = "", None
    async for last in answers:
        said += last.delta or ""
    if last is not None and said != (last.message.content or ""):
        raise ValueError(f"the deltas say {said!r}, the message {last.message.content!r}")
    return last


async def framework(turn, url, name, streams):
    llm = eval(readme("llama-index", url)[0], {"OpenAILike": partial(OpenAILike, model=name, max_retries=0)})
    messages = [ChatMessage(QUESTION)]
    calls = []
    while True:
        answer = await ask(llm, messages, turn, streams)
        made = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False) if turn == TOOL else []
        if not made:
            break
        messages.append(answer.message)
        for call in made:
            calls.append(call.tool_kwargs)
            result = await WEATHER.acall(**call.tool_kwargs)
            more = {"tool_call_id": call.tool_id, "name": call.tool_name}
            messages.append(ChatMessage(str(result), role="tool", additional_kwargs=more))
    thought = "".join(block.content or "" for block in answer.message.blocks if block.block_type == "thinking")
    # It passes over the first chunk of a stream if that has no text, and so over the first piece of a thought.
    lost = FIRST if streams and thought.rstrip() == MANNERS["reasoning"].removeprefix(FIRST) else ""
    return Said(answer.message.content, lost + thought, calls)


async def main():
    checks = without(framework, BREAKS) + await everywhere("chat", framework)
    await compare("python llama-index", checks + closely("chat", framework, BREAKS))


if __name__ == "__main__":
    asyncio.run(main())
