"""Pydantic AI: `openai-chat:` speaks chat completions, `openai:` the Responses API."""

import asyncio
from functools import partial

from frameworks import (
    OBJECT, QUESTION, STREAM, TEXT, TOOL, Said, closely, compare, everywhere, faults, reasoning, without,
)  # fmt: skip
from pydantic_ai import Agent
from pydantic_ai.messages import ThinkingPart
from support import MANNERS, readme, set_environment

# What it gets wrong without millpond.
BREAKS = {
    "huggingface": (TEXT, STREAM),  # the tags of the reasoning stay in the text
    "google": (TEXT, OBJECT),  # an id that is null is none to it
    "hyperbolic": (TEXT, OBJECT),  # nor a usage without a total
    "mistral-magistral": (TEXT, STREAM),  # the reasoning is not seen
    "llama-cpp-python": (TOOL, STREAM),  # the name of the tool is there six times
    "legacy": (TOOL, STREAM),  # the call is not seen
    "openai/cut-after-3": (TEXT, STREAM),  # half an answer is an answer
}
# They send line breaks before a call, and to `run_stream` the first text is the last.
TALKS = [name for name in MANNERS["by_provider"] if name != "about"]


async def framework(prefix, settings, turn, url, name, streams):
    set_environment(readme("pydantic-ai", url)[0])
    agent = Agent(f"{prefix}:{name}", model_settings=settings)
    calls = []
    if turn == TOOL:

        @agent.tool_plain
        def weather(city: str, days: int) -> str:
            """What the sky will do."""
            calls.append({"city": city, "days": days})
            return MANNERS["tool_result"]

    if streams and name.rpartition("/")[2] in TALKS:
        async with agent.run_stream_events(QUESTION) as events:
            *_, last = [event async for event in events]
        said, messages = last.result.output, last.result.all_messages()
    elif streams:
        async with agent.run_stream(QUESTION) as result:
            said = "".join([piece async for piece in result.stream_text(delta=True, debounce_by=None)])
            messages = result.all_messages()
    else:
        result = await agent.run(QUESTION)
        said, messages = result.output, result.all_messages()
    thoughts = [part.content for part in messages[-1].parts if isinstance(part, ThinkingPart)]
    return Said(said, "".join(thoughts), calls)


chat = partial(framework, "openai-chat", {})
responses = partial(framework, "openai", {})
thinks = partial(framework, "openai", {"openai_reasoning_effort": "medium", "openai_reasoning_summary": "auto"})


async def main():
    checks = without(chat, BREAKS) + await everywhere("chat", chat) + closely("chat", chat, BREAKS)
    checks += await everywhere("responses", responses) + faults("responses", responses, "openrouter")
    checks += reasoning(thinks)
    await compare("python pydantic-ai", checks)


if __name__ == "__main__":
    asyncio.run(main())
