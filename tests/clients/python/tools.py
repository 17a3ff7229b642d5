"""The official Python SDK in three turns of tools with a model that reasons, over each dialect of the fake provider:
a client that sends back what it does not know, one that drops it, and what is refused.

`MOCK_URL` in the environment says where the fake provider listens that millpond asks, `FORGETFUL_URL` where a
millpond listens that keeps no reasoning.
"""

import asyncio
import itertools
import json
import os
from functools import partial

import openai
from support import MANNERS, NATIVES, client, client_of, of_mock, read, run

forgetful = client_of(os.environ["FORGETFUL_URL"])
numbers = itertools.count()

TURNS = ["weather", "clock", None]


def function(name, properties):
    parameters = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


OFFERED = [function("weather", {"city": "string", "days": "integer"}), function("clock", {"zone": "string"})]


class Conversation:
    """A conversation that its first message tells from all others."""

    def __init__(self, native, ask):
        self.mark = f"Python {next(numbers)}."
        message = {"role": "user", "content": f"{NATIVES['prompt']} {self.mark}"}
        self.messages = [message]
        self.request = {"model": native["model"], "messages": self.messages, "tools": OFFERED, "extra_body": ask}

    def go_on(self, message):
        """Adds the model's message and the results of its calls."""
        self.messages.append(message)
        for call in message.get("tool_calls") or []:
            result = {"role": "tool", "tool_call_id": call["id"], "content": MANNERS["tool_result"]}
            self.messages.append(result)

    async def arrived(self):
        """The body of the last request of this conversation that reached the provider."""
        requests = [json.dumps(request["body"], ensure_ascii=False) for request in await of_mock("/mock/requests")]
        return [body for body in requests if self.mark in body][-1]


async def of_stream(request, api):
    """The message of a stream with all it had."""
    stream = await read(api=api, **request)
    if stream.error:
        raise stream.error
    heard = stream.only
    if stream.problems:
        raise ValueError(f"the stream: {stream.problems}")
    calls = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id, name, arguments in heard.calls.values()
    ]
    message = {"role": "assistant", "content": heard.text or None, "reasoning": heard.reasoning}
    message |= {"reasoning_details": heard.details, "tool_calls": calls}
    return {name: value for name, value in message.items() if value}


async def of_object(request, api):
    completion = await api.chat.completions.create(**request)
    return completion.choices[0].message.model_dump(exclude_none=True)


def keep(message):
    return message


def drop(message):
    return {name: message[name] for name in ("role", "content", "tool_calls") if name in message}


def check_message(check, message, name):
    """Looks at one turn: its thought, and its call or its words."""
    check.equal((message.get("reasoning") or "").strip(), MANNERS["reasoning"], f"before {name}: the reasoning")
    called = [call["function"] for call in message.get("tool_calls") or []]
    said = [(call["name"], json.loads(call["arguments"])) for call in called]
    check.equal(said, [(name, MANNERS["arguments"][name])] if name else [], f"before {name}: the calls")
    if not name:
        check.equal(message["content"], MANNERS["tool_answer"], "the answer")


async def turns(native, way, back, check):
    """Three turns, after which the provider has the reasoning of two."""
    talk = Conversation(native, native["ask"])
    for name in TURNS:
        message = await way(talk.request, client)
        check_message(check, message, name)
        if name:
            talk.go_on(back(message))
    if back is keep or native.get("remembered"):
        body = await talk.arrived()
        check.equal(body.count(native["carries"]), 2, f"the number of {native['carries']} in {body}")


async def refused(check, says, request, api=client):
    for way in (of_stream, of_object):
        try:
            await way(request, api)
            check.that(False, f"{way.__name__}: {says}: nothing was refused")
        except openai.BadRequestError as error:
            check.that(says in error.message, f"{way.__name__}: {error.message}")
            check.equal(error.type, "invalid_request_error", f"{way.__name__}: the type")


async def altered(native, check):
    """Another signature is refused as the provider does it; the memory does not put it right."""
    talk = Conversation(native, native["ask"])
    message = await of_object(talk.request, client)
    signed = [detail for detail in message["reasoning_details"] if detail.get(native["signed"])]
    check.that(bool(signed), f"nothing is signed: {message}")
    for detail in signed:
        detail[native["signed"]] = "QUACK" + detail[native["signed"]]
    talk.go_on(message)
    await refused(check, native["altered"], talk.request)


async def missing(native, check):
    """Without signature and memory the provider refuses to go on, if it is the client that insists."""
    talk = Conversation(native, native["insist"])
    talk.go_on(drop(await of_object(talk.request, forgetful)))
    await refused(check, native["missing"], talk.request, forgetful)
    remembered = Conversation(native, native["insist"])
    remembered.go_on(drop(await of_object(remembered.request, client)))
    check_message(check, await of_object(remembered.request, client), "clock")


async def goes_on(native, check):
    """Where it is not insisted on, millpond asks so that the conversation goes on without its thoughts."""
    talk = Conversation(native, native["ask"])
    for name in TURNS:
        answer = await forgetful.chat.completions.with_raw_response.create(**talk.request)
        dropped = answer.headers.get("x-millpond-dropped")
        message = answer.parse().choices[0].message.model_dump(exclude_none=True)
        check.equal(dropped, native.get("loses") if len(talk.messages) > 1 else None, f"before {name}: the dropped")
        called = [call["function"]["name"] for call in message.get("tool_calls") or []]
        check.equal(called, [name] if name else [], f"before {name}: the calls")
        talk.go_on(drop(message))
    check.equal(message["content"], MANNERS["tool_answer"], "the answer")


async def main():
    checks = []
    for name, native in NATIVES["natives"].items():
        for way, back in itertools.product((of_stream, of_object), (keep, drop)):
            checks.append((name, f"{way.__name__} {back.__name__}", partial(turns, native, way, back)))
        checks.append((name, "goes on", partial(goes_on, native)))
        if "altered" in native:
            checks.append((name, "altered", partial(altered, native)))
        if "missing" in native:
            checks.append((name, "missing", partial(missing, native)))
    await run("python tools", checks)


if __name__ == "__main__":
    asyncio.run(main())
