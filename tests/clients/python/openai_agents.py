"""The OpenAI Agents SDK, which speaks the Responses API by itself, and chat completions if it is told to."""

import asyncio
import json
from functools import partial

import agents
from agents import Agent, ModelSettings, OpenAIProvider, RunConfig, Runner, function_tool
from frameworks import (
    OBJECT, QUESTION, STREAM, TEXT, TOOL, Said, closely, compare, everywhere, reasoning, without,
)  # fmt: skip
from openai.types.shared import Reasoning
from support import MANNERS, readme

# It would send traces to OpenAI.
agents.set_tracing_disabled(True)

# What it gets wrong without millpond.
BREAKS = {
    "huggingface": (TEXT, STREAM),  # the tags of the reasoning stay in the text
    "mistral-magistral": (TEXT, STREAM),  # text in parts is no text to it
    "google": (TOOL, STREAM),  # a call without an id ends it
    "legacy": (TOOL, STREAM),  # the call is not seen
    "whole-message": (TEXT, STREAM),  # the answer is empty to it
    "home-made": (TOOL, OBJECT),  # arguments that are an object end it
    "openai/cut-after-3": (TEXT, STREAM),  # half an answer is an answer
}


@function_tool
def weather(city: str, days: int) -> str:
    """What the sky will do."""
    return MANNERS["tool_result"]


async def of_stream(result):
    """The result of a run, whose last words its deltas have said as well."""
    deltas = ""
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            deltas += event.data.delta
    if result.final_output not in deltas:
        raise ValueError(f"the deltas say {deltas}")
    return result


def heard(items):
    """The thoughts of the last turn, and the arguments of all calls."""
    thoughts, calls = "", []
    for item in items:
        if item.type == "reasoning_item":
            thoughts += "".join(part.text for part in item.raw_item.summary or item.raw_item.content or [])
        elif item.type == "tool_call_item":
            calls.append(json.loads(item.raw_item.arguments))
        elif item.type == "tool_call_output_item":
            thoughts = ""
    return thoughts, calls


async def framework(speaks, settings, turn, url, name, streams):
    config = eval(
        readme("openai-agents", url)[0],
        {"RunConfig": RunConfig, "OpenAIProvider": partial(OpenAIProvider, use_responses=speaks == "responses")},
    )
    tools = [weather] if turn == TOOL else []
    duck = Agent(name="Duck", model=name, tools=tools, model_settings=ModelSettings(**settings))
    if streams:
        result = await of_stream(Runner.run_streamed(duck, QUESTION, run_config=config))
    else:
        result = await Runner.run(duck, QUESTION, run_config=config)
    return Said(result.final_output, *heard(result.new_items))


chat = partial(framework, "chat", {})
responses = partial(framework, "responses", {})
thinks = partial(
    framework, "responses", {"reasoning": Reasoning(effort="medium", summary="auto"), "max_tokens": 4000}
)


async def main():
    checks = without(chat, BREAKS) + await everywhere("responses", responses)
    checks += closely("responses", responses, BREAKS) + closely("chat", chat, BREAKS, "openrouter")
    await compare("python agents", checks + reasoning(thinks))


if __name__ == "__main__":
    asyncio.run(main())
