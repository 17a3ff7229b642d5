"""Anthropic's official Python SDK in front of millpond: text, tools and reasoning from every dialect, and faults."""

import asyncio
import os
from functools import partial

import anthropic

from support import ASK, FAULTS, MANNERS, NATIVES, REQUEST_TIMEOUT, model, readme, run, set_environment

CLIENT = "anthropic (Python)"


def client_of(url):
    """The official client, as README makes it, in front of the millpond at an address."""
    made = eval(readme(CLIENT, url)[0], {"Anthropic": anthropic.AsyncAnthropic})
    return made.with_options(max_retries=0, timeout=REQUEST_TIMEOUT)


client = client_of(os.environ["MILLPOND_URL"])
# Its reasoning comes back from the client alone.
forgetful = client_of(os.environ["FORGETFUL_URL"])
TOOLS = [
    {"name": name, "input_schema": {"type": "object", "properties": {key: {"type": "string"}}}}
    for name, key in (("weather", "city"), ("clock", "zone"))
]


async def helped(api=client, **request):
    """Asks through the helper; returns the text so far, the message and the error, one of them None."""
    text = ""
    try:
        async with api.messages.stream(max_tokens=4000, **request) as stream:
            async for piece in stream.text_stream:
                text += piece
            return text, await stream.get_final_message(), None
    except anthropic.APIError as error:
        return text, None, error


async def called(api=client, **request):
    """Asks for an object; returns the message and the error, one of them None."""
    try:
        return await api.messages.create(max_tokens=4000, **request), None
    except anthropic.APIError as error:
        return None, error


def words(message, kind, member):
    """What the blocks of a kind say, joined."""
    return "".join(getattr(block, member) for block in message.content if block.type == kind)


async def plain(manner, check):
    """The same words as a stream and as an object."""
    wanted = MANNERS["by_provider"].get(manner, {}).get("before_text", "") + MANNERS["answer"]
    request = {"model": model(manner), "messages": ASK}
    text, message, error = await helped(**request)
    whole, refused = await called(**request)
    check.that(error is None and refused is None, f"{error!r}, {refused!r}")
    check.equal(text, wanted, "the streamed text")
    for where, message in (("stream", message), ("object", whole)):
        check.equal(words(message, "text", "text"), wanted, f"{where}: the text")
        check.equal(message.stop_reason, "end_turn", f"{where}: the reason")
        check.that(message.model and message.id, f"{where}: no id or model")
        if manner in MANNERS["reasons"]:
            check.equal(words(message, "thinking", "thinking").strip(), MANNERS["reasoning"], f"{where}: the reasoning")


async def tools(native, streams, check):
    """Three turns of tools with a model that reasons."""
    messages = [{"role": "user", "content": NATIVES["prompt"]}]
    request = {"model": native["model"], "tools": TOOLS, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    for name in ("weather", "clock", None):
        if streams:
            _, message, error = await helped(forgetful, messages=messages, **request)
        else:
            message, error = await called(forgetful, messages=messages, **request)
        if error is not None:
            check.that(False, f"{name}: {error!r}")
            return
        calls = [block for block in message.content if block.type == "tool_use"]
        check.that(words(message, "thinking", "thinking"), f"{name}: no reasoning")
        check.equal([call.name for call in calls], [name] if name else [], "the calls")
        check.equal(message.stop_reason, "tool_use" if name else "end_turn", "the reason")
        check.that(all(value == "Paris" for call in calls for value in call.input.values()), "the arguments")
        messages.append({"role": "assistant", "content": [block.to_dict() for block in message.content]})
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "18 °C"} for call in calls]
        messages.append({"role": "user", "content": results})
    check.that("18 °C" in words(message, "text", "text"), "the result is not in the text")


async def early(manner, fault, row, check):
    """Before the first event: an HTTP error, whether a stream was asked for or not."""
    request = {"model": model(manner, fault), "messages": ASK}
    _, _, of_helper = await helped(**request)
    _, of_object = await called(**request)
    for where, error in (("helper", of_helper), ("object", of_object)):
        if not isinstance(error, anthropic.APIStatusError):
            check.that(False, f"{where}: {error!r} is no error with a status")
            continue
        check.that(error.status_code in row["status"], f"{where}: the status is {error.status_code}")
        check.that(error.request_id, f"{where}: no request id")
        check.equal(error.body["type"], "error", f"{where}: the type of the body")


async def midway(manner, fault, code, check):
    """After the first event: the text so far, then an error with the code of the fault."""
    wanted = MANNERS["by_provider"].get(manner, {}).get("before_text", "") + MANNERS["answer"]
    text, message, error = await helped(model=model(manner, fault), messages=ASK)
    check.that(isinstance(error, anthropic.APIError), f"{message!r} instead of an error")
    check.that(wanted.startswith(text), f"the text is {text!r}")
    check.equal(error.body["error"]["code"], code, "the code")


async def by_environment(check):
    """The client that is made without an address finds millpond by README's other line."""
    set_environment(readme(CLIENT)[1])
    message, error = await called(anthropic.AsyncAnthropic(api_key="unused"), model=model("openai"), messages=ASK)
    check.that(error is None, f"{error!r}")
    check.equal(message.content[0].text, MANNERS["answer"], "the answer")


async def main():
    checks = [("readme", "environment", by_environment)]
    checks += [("plain", manner, partial(plain, manner)) for manner in FAULTS["manners"]]
    for name, native in NATIVES["natives"].items():
        for streams in (True, False):
            checks.append(("tools", f"{name} {streams}", partial(tools, native, streams)))
    for manner in FAULTS["manners"]:
        for fault, row in FAULTS["early"].items():
            checks.append(("early", f"{manner}/{fault}", partial(early, manner, fault, row)))
        for fault, code in FAULTS["midway"].items():
            checks.append(("midway", f"{manner}/{fault}", partial(midway, manner, fault, code)))
    await run("python messages", checks)


if __name__ == "__main__":
    asyncio.run(main())
