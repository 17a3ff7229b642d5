"""LangChain's ChatOpenAI: chat completions, and the Responses API where reasoning is to be seen."""

import asyncio
from functools import partial

from frameworks import OBJECT, QUESTION, STREAM, TEXT, TOOL, Said, closely, compare, everywhere, reasoning, without
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from support import MANNERS, readme, set_environment

# What it gets wrong without millpond.
BREAKS = {
    "huggingface": (TEXT, STREAM),  # the tags of the reasoning stay in the text
    "whole-message": (TEXT, STREAM),  # it finds no answer
    "home-made": (TOOL, OBJECT),  # the call is invalid to it
    "litellm-glm": (TOOL, STREAM),  # the call falls apart
    "legacy": (TOOL, STREAM),  # the call is not seen
    "openai/cut-after-3": (TEXT, STREAM),  # half an answer is an answer
}


@tool
def weather(city: str, days: int) -> str:
    """What the sky will do."""
    return MANNERS["tool_result"]


async def ask(api, messages, streams):
    if not streams:
        return await api.ainvoke(messages)
    whole = None
    async for chunk in api.astream(messages):
        whole = chunk if whole is None else whole + chunk
    return whole


async def framework(settings, turn, url, name, streams):
    set_environment(readme("langchain-openai", url)[0])
    api = ChatOpenAI(model=name, **settings)
    if turn == TOOL:
        api = api.bind_tools([weather])
    messages = [HumanMessage(QUESTION)]
    calls = []
    while True:
        message = await ask(api, messages, streams)
        if not message.tool_calls:
            break
        calls += [call["args"] for call in message.tool_calls]
        messages += [message, *[await weather.ainvoke(call) for call in message.tool_calls]]
    thoughts = [block.get("reasoning", "") for block in message.content_blocks if block["type"] == "reasoning"]
    return Said(message.text, "".join(thoughts) if settings else None, calls)


chat = partial(framework, {})
responses = partial(framework, {"use_responses_api": True, "reasoning": {"effort": "medium", "summary": "auto"}})


async def main():
    checks = without(chat, BREAKS) + await everywhere("chat", chat) + closely("chat", chat, BREAKS)
    checks += reasoning(responses)
    await compare("python langchain", checks)


if __name__ == "__main__":
    asyncio.run(main())
