"""The official Python SDK over the Responses API: its stream helper, the plain loop and the object, over the manners
of the fake provider that reason, three turns of tools over each of its dialects, and faults.

`MOCK_URL` in the environment says where the fake provider listens that millpond asks.
"""

import asyncio
import itertools
import json
from functools import partial

import openai
from pydantic import BaseModel
from support import FAULTS, MANNERS, NATIVES, client, model, of_mock, run

numbers = itertools.count()
TURNS = ["weather", "clock", None]


def function(name, properties):
    parameters = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return {"type": "function", "name": name, "parameters": parameters, "strict": False}


OFFERED = [function("weather", {"city": "string", "days": "integer"}), function("clock", {"zone": "string"})]


async def of_helper(**request):
    """The helper puts the response together from the events, and insists on their order."""
    async with client.responses.stream(**request) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_response()


async def of_loop(**request):
    """The last event of a plain loop; what its items said as they were done is what it says."""
    done, last, number = [], None, -1
    async for event in await client.responses.create(stream=True, **request):
        if event.sequence_number != number + 1:
            raise ValueError(f"event {event.sequence_number} after {number}")
        number, last = event.sequence_number, event
        if event.type == "response.output_item.done":
            done.append(event.item.id)
    if sorted(item.id for item in last.response.output) != sorted(done):
        raise ValueError(f"{done} were done, {last.response.output} is the output")
    return last.response


async def of_object(**request):
    return await client.responses.create(**request)


WAYS = (of_helper, of_loop, of_object)


def thought(response):
    """The text of all reasoning."""
    items = [item for item in response.output if item.type == "reasoning"]
    return "".join(part.text for item in items for part in [*item.summary, *(item.content or [])]).strip()


async def says(manner, way, check):
    response = await way(model=model(manner), input=MANNERS["prompt"])
    check.equal(response.status, "completed", "the status")
    check.equal(response.output_text.strip(), MANNERS["answer"], "the text")
    check.equal(thought(response), MANNERS["reasoning"] if manner in MANNERS["reasons"] else "", "the reasoning")
    check.that(response.usage and response.usage.total_tokens > 0, f"usage is {response.usage}")


async def refuses(manner, way, check):
    response = await way(model=model(manner), input=MANNERS["prompt"])
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    check.equal("".join(part.refusal for part in parts if part.type == "refusal"), MANNERS["refusal"], "the refusal")


class Turns:
    """A conversation that its first message tells from all others."""

    def __init__(self, native, by_id):
        self.mark = f"Responses {next(numbers)}."
        self.by_id = by_id
        ask = {"reasoning": {"effort": "medium", "summary": "auto"}, "max_output_tokens": 4000}
        self.request = {"model": native["model"], "tools": OFFERED, **ask}
        self.request["input"] = [{"role": "user", "content": f"{NATIVES['prompt']} {self.mark}"}]

    def go_on(self, response):
        calls = [item for item in response.output if item.type == "function_call"]
        result = MANNERS["tool_result"]
        results = [{"type": "function_call_output", "call_id": call.call_id, "output": result} for call in calls]
        if self.by_id:
            self.request |= {"previous_response_id": response.id, "input": results}
        else:
            self.request["input"] += [*response.output, *results]

    async def arrived(self):
        """The body of the last request of this conversation that reached the provider."""
        requests = [json.dumps(request["body"], ensure_ascii=False) for request in await of_mock("/mock/requests")]
        return [body for body in requests if self.mark in body][-1]


async def turns(native, way, by_id, check):
    talk = Turns(native, by_id)
    for name in TURNS:
        response = await way(**talk.request)
        check.equal(thought(response), MANNERS["reasoning"], f"before {name}: the reasoning")
        calls = [(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
        check.equal(calls, [(name, MANNERS["arguments"][name])] if name else [], f"before {name}: the calls")
        talk.go_on(response)
    check.equal(response.output_text, MANNERS["tool_answer"], "the answer")
    carries = native["carries"]
    if carries and native.get("remembered"):
        body = await talk.arrived()
        check.equal(body.count(carries), 2, f"the number of {carries} in {body}")


async def early(manner, fault, expect, check):
    for way in WAYS:
        try:
            await way(model=model(manner, fault), input=MANNERS["prompt"])
            check.that(False, f"{way.__name__}: nothing was raised")
        except openai.APIStatusError as error:
            check.equal(type(error).__name__, expect["error"], f"{way.__name__}: the error")
            check.that(error.status_code in expect["status"], f"{way.__name__}: {error.status_code}")


async def midway(manner, fault, code, check):
    """After the first event: it is raised where the stream is read."""
    try:
        async for _ in await client.responses.create(stream=True, model=model(manner, fault), input=MANNERS["prompt"]):
            pass
        check.that(False, "nothing was raised")
    except openai.APIError as error:
        check.equal(error.body["fault"], code, "the fault")
        check.that(bool(error.message), "the error says nothing")


async def kept(check):
    response = await of_object(model=model("openai"), input=MANNERS["prompt"])
    check.equal((await client.responses.retrieve(response.id)).output_text, response.output_text, "what is kept")
    await client.responses.delete(response.id)
    try:
        await client.responses.retrieve(response.id)
        check.that(False, "it is still there")
    except openai.NotFoundError:
        pass
    try:
        await of_object(model=model("openai"), input="And now?", previous_response_id=response.id)
        check.that(False, "it goes on from nothing")
    except openai.BadRequestError as error:
        check.equal(error.code, "previous_response_not_found", "the code")


class Pond(BaseModel):
    city: str
    ducks: int


async def structured(check):
    response = await client.responses.parse(model=model("openai"), input=MANNERS["prompt"], text_format=Pond)
    check.that(isinstance(response.output_parsed, Pond), f"parsed is {response.output_parsed}")


async def main():
    checks = []
    plain = [manner for manner in MANNERS["candidates"] if manner not in MANNERS["refuses"] + MANNERS["speaks"]]
    for manner, way in itertools.product(dict.fromkeys(MANNERS["reasons"] + plain), WAYS):
        checks.append(("manners", f"{manner} {way.__name__}", partial(says, manner, way)))
    for manner, way in itertools.product(MANNERS["refuses"], WAYS):
        checks.append(("refusals", f"{manner} {way.__name__}", partial(refuses, manner, way)))
    for name, native in NATIVES["natives"].items():
        for way, by_id in itertools.product(WAYS, (False, True)):
            checks.append((f"tools {name}", f"{way.__name__} {by_id}", partial(turns, native, way, by_id)))
    for manner in FAULTS["manners"]:
        for fault, expect in FAULTS["early"].items():
            checks.append(("faults", f"{manner} {fault}", partial(early, manner, fault, expect)))
        for fault, code in FAULTS["midway"].items():
            checks.append(("faults", f"{manner} {fault}", partial(midway, manner, fault, code)))
    checks.append(("store", "kept", kept))
    checks.append(("parse", "structured", structured))
    await run("python responses", checks)


if __name__ == "__main__":
    asyncio.run(main())
