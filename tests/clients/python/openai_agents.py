"""The OpenAI Agents SDK, which speaks the Responses API by itself: a run with a tool, as a stream and not, over manners
and dialects of the fake provider; and faults, which end a run."""

import asyncio
import itertools
from functools import partial

import agents
from agents import Agent, ModelSettings, Runner, function_tool
from openai.types.shared import Reasoning
from support import MANNERS, NATIVES, client, model, run

# It would send traces to OpenAI.
agents.set_tracing_disabled(True)

CALLED = []


@function_tool
def weather(city: str, days: int) -> str:
    """What the sky will do."""
    CALLED.append((city, days))
    return MANNERS["tool_result"]


def agent(name, **settings):
    # By the name alone it would look for a provider of its own in it.
    speaks = agents.OpenAIResponsesModel(model=name, openai_client=client)
    return Agent(name="Duck", model=speaks, tools=[weather], model_settings=ModelSettings(**settings))


async def of_run(duck):
    return (await Runner.run(duck, "What is up?")).final_output


async def of_stream(duck):
    """The last words, which its deltas have said as well."""
    result = Runner.run_streamed(duck, "What is up?")
    deltas = ""
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            deltas += event.data.delta
    if result.final_output not in deltas:
        raise ValueError(f"the deltas say {deltas}")
    return result.final_output


WAYS = (of_run, of_stream)


async def works(name, way, settings, check):
    before = len(CALLED)
    check.equal((await way(agent(name, **settings))).strip(), MANNERS["tool_answer"], "the answer")
    check.that(len(CALLED) > before, "the tool was not called")


async def fails(name, way, check):
    try:
        said = await way(agent(name))
        check.that(False, f"the run ends well: {said!r}")
    except Exception as error:  # Which one is the SDK's own matter.
        of_ours = not isinstance(error, agents.UserError)
        check.that(of_ours and bool(str(error)), f"{type(error).__name__}: {error}")


async def main():
    checks = []
    for manner, way in itertools.product(("openai", "openrouter", "groq", "mistral", "perplexity"), WAYS):
        checks.append(("manners", f"{manner} {way.__name__}", partial(works, model(manner), way, {})))
    thinks = {"reasoning": Reasoning(effort="medium", summary="auto"), "max_tokens": 4000}
    for (name, native), way in itertools.product(NATIVES["natives"].items(), WAYS):
        checks.append(("natives", f"{name} {way.__name__}", partial(works, native["model"], way, thinks)))
    for fault in ("429", "cut-after-3", "error-3", "garbage-3", "empty"):
        for way in WAYS:
            checks.append(("faults", f"{fault} {way.__name__}", partial(fails, model("openai", fault), way)))
    await run("python agents", checks)


if __name__ == "__main__":
    asyncio.run(main())
