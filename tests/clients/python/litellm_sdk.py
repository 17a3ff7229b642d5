"""LiteLLM's SDK, with `openai/` before millpond's names."""

import asyncio
import json
import os
from functools import partial

# It would load prices and vocabularies of models.
os.environ["LITELLM_OFFLINE_MODE"] = "true"

import litellm
from frameworks import OBJECT, QUESTION, STREAM, TEXT, TOOL, Said, closely, compare, everywhere, without
from support import MANNERS, readme

# What it gets wrong without millpond.
BREAKS = {
    "huggingface": (TEXT, STREAM),  # the tags of the reasoning stay in the text
    "mistral-magistral": (TEXT, OBJECT),  # the reasoning is not seen
    "snowflake": (TEXT, STREAM),  # the whole answer is cut to it
    "whole-message": (TEXT, STREAM),  # the answer is empty to it
    "google": (TOOL, STREAM),  # the call is not seen
    "legacy": (TOOL, STREAM),  # nor is this one
    "home-made-cr": (TOOL, STREAM),  # the arguments are there twice
    "openai/empty": (TEXT, STREAM),  # nothing at all is an answer
}
litellm.suppress_debug_info = True
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}


async def ask(complete, messages, streams):
    if not streams:
        return (await complete(messages=messages)).choices[0].message
    chunks = [chunk async for chunk in await complete(messages=messages, stream=True)]
    return litellm.stream_chunk_builder(chunks, messages=messages).choices[0].message


async def framework(turn, url, name, streams):
    request = {"model": f"openai/{name}", "num_retries": 0, "max_retries": 0}
    request |= {"tools": [WEATHER]} if turn == TOOL else {}
    complete = eval(readme("litellm", url)[0], {"completion": partial(partial, litellm.acompletion, **request)})
    messages = [{"role": "user", "content": QUESTION}]
    calls = []
    while True:
        message = await ask(complete, messages, streams)
        if not message.tool_calls:
            break
        calls += [json.loads(call.function.arguments) for call in message.tool_calls]
        messages.append(message)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": MANNERS["tool_result"]} for call in message.tool_calls
        ]
    return Said(message.content, getattr(message, "reasoning_content", None) or "", calls)


async def main():
    checks = without(framework, BREAKS) + await everywhere("chat", framework)
    # It looks for what a model costs there, if millpond's name for it begins so.
    refused = ["huggingface.co"]
    await compare("python litellm", checks + closely("chat", framework, BREAKS), refused)


if __name__ == "__main__":
    asyncio.run(main())
