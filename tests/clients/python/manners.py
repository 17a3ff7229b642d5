"""The official Python SDK in front of every manner of the fake provider."""

import asyncio
import json
from functools import partial

import openai
from support import ASK, MANNERS, client, model, read, readme, run, set_environment, transcript

USAGE = {"include_usage": True}


def function(name, properties):
    """A tool as the strict helper wants it."""
    parameters = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "strict": True, "parameters": parameters}}


WEATHER = function("weather", {"city": "string", "days": "integer"})
CLOCK = function("clock", {"zone": "string"})
PING = function("ping", {})
FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "pond",
        "strict": True,
        "schema": function("pond", {"city": "string", "ducks": "integer"})["function"]["parameters"],
    },
}


class Wanted:
    """What a manner should say: in words, as a refusal or aloud, and what it thinks."""

    def __init__(self, manner, text=MANNERS["answer"]):
        self.manner = manner
        refuses, speaks = manner in MANNERS["refuses"], manner in MANNERS["speaks"]
        before = MANNERS["by_provider"].get(manner, {}).get("before_text", "")
        self.text = "" if refuses or speaks else before + text
        self.refusal = MANNERS["refusal"] if refuses else ""
        self.spoken = text if speaks and not refuses else ""
        self.reasoning = MANNERS["reasoning"] if manner in MANNERS["reasons"] else ""

    def check(self, check, where, text, refusal, spoken, reasoning):
        check.equal(text or "", self.text, f"{where}: the text")
        check.equal(refusal or "", self.refusal, f"{where}: the refusal")
        check.equal(spoken or "", self.spoken, f"{where}: the transcript")
        for name, said in reasoning.items():
            # The line breaks around tags are the provider's.
            check.equal((said or "").strip(), self.reasoning, f"{where}: {name}")

    def check_heard(self, check, where, heard):
        reasoning = {"reasoning": heard.reasoning, "reasoning_content": heard.reasoning_content}
        self.check(check, where, heard.text, heard.refusal, heard.spoken, reasoning)

    def check_message(self, check, where, message):
        fields = ("reasoning", "reasoning_content")
        reasoning = {name: getattr(message, name, None) for name in fields}
        self.check(check, where, message.content, message.refusal, transcript(message.audio), reasoning)


def check_stream(check, where, stream, finish, usage):
    """Looks at everything of a stream but its text."""
    check.equal(stream.error, None, f"{where}: the error")
    for problem in stream.problems:
        check.that(False, f"{where}: {problem}")
    for index, heard in stream.choices.items():
        check.equal(heard.roles, ["assistant"], f"{where}: the roles of choice {index}")
        check.equal(heard.finishes, [finish], f"{where}: the finish reasons of choice {index}")
    check.equal(len(stream.usage), 1 if usage else 0, f"{where}: the number of usage reports")
    for report in stream.usage:
        check_usage(check, where, report)


def check_usage(check, where, usage):
    counts = [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]
    check.that(all(type(count) is int and count > 0 for count in counts), f"{where}: the counts are {counts}")
    check.equal(counts[2], counts[0] + counts[1], f"{where}: the total")


def check_completion(check, where, completion, finish, counts):
    check.equal(len(completion.choices), 1, f"{where}: the number of choices")
    check.equal(completion.object, "chat.completion", f"{where}: the object")
    check.equal(completion.choices[0].finish_reason, finish, f"{where}: the finish reason")
    check.equal(completion.choices[0].message.role, "assistant", f"{where}: the role")
    check.equal(completion.usage is not None, counts, f"{where}: whether there is usage")
    if completion.usage:
        check_usage(check, where, completion.usage)


def counts(manner):
    return manner not in MANNERS["counts_nothing"]


def fields(usage):
    return usage and [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]


async def text(manner, check):
    """The plain loop with and without usage, and the plain call, say the same."""
    wanted = Wanted(manner)
    request = {"model": model(manner), "messages": ASK}
    asked = await read(**request, stream_options=USAGE)
    check_stream(check, "stream", asked, "stop", usage=counts(manner))
    wanted.check_heard(check, "stream", asked.only)
    unasked = await read(**request)
    check_stream(check, "stream without usage", unasked, "stop", usage=False)
    wanted.check_heard(check, "stream without usage", unasked.only)
    whole = await client.chat.completions.create(**request)
    check_completion(check, "object", whole, "stop", counts(manner))
    wanted.check_message(check, "object", whole.choices[0].message)
    check.equal([fields(usage) for usage in asked.usage], [fields(whole.usage)] if counts(manner) else [], "usage")


async def helper(manner, check):
    """The helper's events and its completion say the same."""
    wanted = Wanted(manner)
    deltas, done, finishes = "", [], []
    request = {"model": model(manner), "messages": ASK, "stream_options": USAGE}
    async with client.chat.completions.stream(**request) as stream:
        async for event in stream:
            if event.type == "content.delta":
                deltas += event.delta
            elif event.type == "content.done":
                done.append(event.content)
            elif event.type == "chunk":
                finishes += [choice.finish_reason for choice in event.chunk.choices if choice.finish_reason]
        whole = await stream.get_final_completion()
    check.equal(deltas, wanted.text, "the deltas")
    check.equal(done, [wanted.text] if wanted.text else [], "content.done")
    check.equal(finishes, ["stop"], "the finish reasons")
    check_completion(check, "completion", whole, "stop", counts(manner))
    wanted.check_message(check, "completion", whole.choices[0].message)


async def tools(offered, manner, check):
    """Calls are the same in the loop, the call and the helper, and can be sent back with their results."""
    request = {"model": model(manner), "messages": ASK, "tools": offered}
    names = [tool["function"]["name"] for tool in offered]
    if manner in MANNERS["calls_once"]:
        names = names[:1]
    wanted = [(name, MANNERS["arguments"][name]) for name in names]
    if manner in MANNERS["refuses"]:
        return
    stream = await read(**request)
    check_stream(check, "stream", stream, "tool_calls", usage=False)
    calls = list(stream.only.calls.values())
    check_calls(check, "stream", calls, wanted)
    whole = await client.chat.completions.create(**request)
    check_completion(check, "object", whole, "tool_calls", counts(manner))
    check_calls(check, "object", plain(whole), wanted)
    done = []
    async with client.chat.completions.stream(**request) as helper:
        async for event in helper:
            if event.type == "tool_calls.function.arguments.done":
                done.append((event.name, event.arguments))
        final = await helper.get_final_completion()
    check_calls(check, "helper", plain(final), wanted)
    check.equal(done, [(name, arguments) for _, name, arguments in calls], "helper: the done events")
    check.equal([call[1:] for call in plain(whole)], [call[1:] for call in calls], "the calls of the object")
    check.equal([call[1:] for call in plain(final)], [call[1:] for call in calls], "the calls of the helper")
    for where, message in (("object", whole.choices[0].message), ("helper", final.choices[0].message)):
        await second_turn(check, where, manner, offered, message)


def plain(completion):
    calls = completion.choices[0].message.tool_calls or []
    return [[call.id, call.function.name, call.function.arguments] for call in calls]


def check_calls(check, where, calls, wanted):
    said = []
    for id, name, arguments in calls:
        try:
            said.append((name, json.loads(arguments)))
        except ValueError:
            said.append((name, arguments))
    check.equal(said, wanted, f"{where}: the calls")
    ids = [id for id, _, _ in calls]
    check.that(all(ids) and len(set(ids)) == len(ids), f"{where}: the ids are {ids}")


async def second_turn(check, where, manner, offered, message):
    """The assistant's message goes back as the SDK dumps it, with the fields that it does not know."""
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": MANNERS["tool_result"]}
        for call in message.tool_calls or []
    ]
    request = {"model": model(manner), "messages": [*ASK, message.model_dump(), *results], "tools": offered}
    stream = await read(**request)
    check_stream(check, f"second turn after {where}", stream, "stop", usage=False)
    Wanted(manner, MANNERS["tool_answer"]).check_heard(check, f"second turn after {where}", stream.only)


async def structured(manner, check):
    """A structured answer can be parsed, from the loop, the call and the helper."""
    if manner in MANNERS["refuses"] or manner in MANNERS["speaks"]:
        return
    request = {"model": model(manner), "messages": ASK, "response_format": FORMAT}
    stream = await read(**request)
    check_stream(check, "stream", stream, "stop", usage=False)
    check.equal(json.loads(stream.only.text), MANNERS["structured"], "stream: the answer")
    whole = await client.chat.completions.create(**request)
    check.equal(json.loads(whole.choices[0].message.content), MANNERS["structured"], "object: the answer")
    async with client.chat.completions.stream(**request) as helper:
        final = await helper.get_final_completion()
    check.equal(json.loads(final.choices[0].message.content), MANNERS["structured"], "helper: the answer")


async def candidates(manner, check):
    """Two candidates where the manner has them, else one; each is whole."""
    texts = [MANNERS["answer"], MANNERS["again"]][: 2 if manner in MANNERS["candidates"] else 1]
    request = {"model": model(manner), "messages": ASK, "n": 2}
    stream = await read(**request, stream_options=USAGE)
    check_stream(check, "stream", stream, "stop", usage=counts(manner))
    check.equal(sorted(stream.choices), list(range(len(texts))), "stream: the choices")
    whole = await client.chat.completions.create(**request)
    check.equal([choice.index for choice in whole.choices], list(range(len(texts))), "object: the choices")
    check.equal([fields(usage) for usage in stream.usage], [fields(whole.usage)] if counts(manner) else [], "usage")
    for choice, text in zip(whole.choices, texts):
        wanted = Wanted(manner, text)
        wanted.check_heard(check, f"stream {choice.index}", stream.choices[choice.index])
        wanted.check_message(check, f"object {choice.index}", choice.message)
        check.equal(choice.finish_reason, "stop", f"object {choice.index}: the finish reason")


async def listed():
    """The manners of the fake provider, as its list of models names them; the names of faults are longer."""
    names = [model.id.split("/") async for model in client.models.list()]
    return [name[-1] for name in names if name[0] == "demo" and len(name) == 2 and name[-1] != "slow"]


async def by_environment(check):
    """The client that is made without an address finds millpond by README's other line."""
    set_environment(readme("openai (Python)")[1])
    api = openai.AsyncOpenAI(api_key="unused", max_retries=0)
    answer = await api.chat.completions.create(model=model("openai"), messages=ASK)
    check.equal(answer.choices[0].message.content, MANNERS["answer"], "the answer")


async def main():
    manners = await listed()
    groups = {
        "text": text,
        "helper": helper,
        "one tool": partial(tools, [WEATHER]),
        "two tools": partial(tools, [WEATHER, CLOCK]),
        "no arguments": partial(tools, [PING, WEATHER]),
        "structured": structured,
        "candidates": candidates,
    }
    checks = [
        (group, manner, partial(function, manner)) for group, function in groups.items() for manner in manners
    ]
    others = [("listing", "models", partial(complete, manners)), ("readme", "environment", by_environment)]
    await run("python manners", [*others, *checks])


async def complete(manners, check):
    """Every manner that the data name exists."""
    lists = ("reasons", "candidates", "refuses", "speaks", "calls_once", "counts_nothing")
    named = {manner for each in lists for manner in MANNERS[each]}
    check.equal(sorted(named - set(manners)), [], "the manners that are named but not served")
    check.that(len(manners) > 40, f"only {len(manners)} manners are listed")


if __name__ == "__main__":
    asyncio.run(main())
