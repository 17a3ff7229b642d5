"""What the scripts share: the client, the data, a reader of streams, and the runner of checks.

`MILLPOND_URL` in the environment says where millpond listens, such as http://127.0.0.1:8080; `MOCK_URL` where the
fake provider listens whose requests a script wants to see.
"""

import asyncio
import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import openai

DATA = Path(__file__).resolve().parent.parent
MANNERS = json.loads((DATA / "manners.json").read_text(encoding="utf-8"))
FAULTS = json.loads((DATA / "faults.json").read_text(encoding="utf-8"))
NATIVES = json.loads((DATA / "natives.json").read_text(encoding="utf-8"))

# How many checks run at once, and how long a request and a check may take, in seconds.
AT_ONCE = 8
REQUEST_TIMEOUT = 20
CHECK_TIMEOUT = 60



def readme(name, url=os.environ["MILLPOND_URL"]):
    """What README's table of clients tells for one of them, with the address of a millpond."""
    text = (DATA.parent.parent / "README.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [code.replace("http://127.0.0.1:8080", url) for code in re.findall("`(.+?)`", row)]


def set_environment(line):
    """Sets the variables of a line such as `NAME=value OTHER=value`."""
    os.environ.update(pair.split("=", 1) for pair in line.split())


def client_of(url):
    """The official client, as README makes it, in front of the millpond at an address."""
    made = eval(readme("openai (Python)", url)[0], {"OpenAI": openai.AsyncOpenAI})
    return made.with_options(max_retries=0, timeout=REQUEST_TIMEOUT)


client = client_of(os.environ["MILLPOND_URL"])

ASK = [{"role": "user", "content": MANNERS["prompt"]}]


def model(manner, fault=None):
    """The model's name for a manner of the fake provider, with a fault."""
    provider = MANNERS["by_provider"].get(manner, {"provider": "demo"})["provider"]
    return "/".join(filter(None, [provider, "demo", manner, fault]))


@dataclass
class Heard:
    """What one choice of a stream said, joined."""

    text: str = ""
    refusal: str = ""
    spoken: str = ""
    reasoning: str = ""
    reasoning_content: str = ""
    roles: list = field(default_factory=list)
    finishes: list = field(default_factory=list)
    calls: dict = field(default_factory=dict)
    details: list = field(default_factory=list)


@dataclass
class Stream:
    """A whole stream: its choices by index, its usage reports, what is wrong with its chunks, how it ended."""

    choices: dict = field(default_factory=dict)
    usage: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    error: Exception | None = None

    @property
    def only(self):
        """The one choice of a stream without candidates."""
        if list(self.choices) != [0]:
            self.problems.append(f"choices {list(self.choices)} instead of the one")
        return self.choices.setdefault(0, Heard())


async def read(api=client, **request):
    """Asks for a stream and reads it in a plain loop, until its end or an `APIError`."""
    stream = Stream()
    identity = None
    try:
        async for chunk in await api.chat.completions.create(stream=True, **request):
            this = (chunk.id, chunk.object, chunk.created, chunk.model)
            identity = identity or this
            if this != identity or not all(this) or chunk.object != "chat.completion.chunk":
                stream.problems.append(f"identity {this} after {identity}")
            if stream.usage:
                stream.problems.append("a chunk after the usage")
            if chunk.usage is not None:
                stream.usage.append(chunk.usage)
            if bool(chunk.choices) == (chunk.usage is not None):
                stream.problems.append(f"{len(chunk.choices)} choices beside usage {chunk.usage}")
            for choice in chunk.choices:
                listen(stream, stream.choices.setdefault(choice.index, Heard()), choice)
    except openai.APIError as error:
        stream.error = error
    return stream


def listen(stream, heard, choice):
    """Adds one choice of a chunk to what was heard of it."""
    delta = choice.delta
    if heard.finishes:
        stream.problems.append("a choice goes on after its finish reason")
    if delta.role is not None:
        heard.roles.append(delta.role)
    if choice.finish_reason is not None:
        heard.finishes.append(choice.finish_reason)
    heard.text += delta.content or ""
    heard.refusal += delta.refusal or ""
    heard.spoken += transcript(getattr(delta, "audio", None)) or ""
    heard.reasoning += getattr(delta, "reasoning", None) or ""
    heard.reasoning_content += getattr(delta, "reasoning_content", None) or ""
    heard.details += getattr(delta, "reasoning_details", None) or []
    for call in delta.tool_calls or []:
        if call.index not in heard.calls:
            if call.index != len(heard.calls):
                stream.problems.append(f"call {call.index} is number {len(heard.calls)} to appear")
            if not (call.id and call.type == "function" and call.function.name):
                stream.problems.append(f"a call begins with {call}")
            heard.calls[call.index] = [call.id, call.function.name, ""]
        elif call.id is not None or call.type is not None or call.function.name is not None:
            stream.problems.append(f"a call goes on with {call}")
        heard.calls[call.index][2] += call.function.arguments


async def of_mock(path):
    """What the fake provider itself says at a path."""

    def get():
        with urlopen(os.environ["MOCK_URL"] + path, timeout=REQUEST_TIMEOUT) as answer:
            return json.load(answer)

    return await asyncio.to_thread(get)


def transcript(audio):
    """The words of an audio answer: the SDK makes it an object or leaves it a dict."""
    return audio.get("transcript") if isinstance(audio, dict) else getattr(audio, "transcript", None)


class Check:
    """One check; it collects what is wrong."""

    def __init__(self, group, subject):
        self.group, self.subject, self.failures = group, subject, []

    def that(self, condition, message):
        if not condition:
            self.failures.append(message)

    def equal(self, actual, wanted, what):
        self.that(actual == wanted, f"{what} is {actual!r} instead of {wanted!r}")


async def run(title, checks):
    """Runs checks, given as (group, subject, function of a Check), and exits with 1 if any failed."""
    pool = asyncio.Semaphore(AT_ONCE)
    begin = time.monotonic()

    async def one(group, subject, function):
        check = Check(group, subject)
        async with pool:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT):
                    await function(check)
            except Exception as error:  # Whatever a client throws is a failure to report.
                check.failures.append(f"{type(error).__name__}: {error}")
        return check

    done = await asyncio.gather(*(one(*each) for each in checks))
    for group in dict.fromkeys(check.group for check in done):
        of_group = [check for check in done if check.group == group]
        good = sum(not check.failures for check in of_group)
        print(f"{title} {group}: {good} of {len(of_group)}")
    failed = [check for check in done if check.failures]
    for check in failed:
        for failure in check.failures:
            print(f"FAILED {title} {check.group} {check.subject}: {failure}")
    print(f"{title}: {len(done) - len(failed)} passed, {len(failed)} failed, {time.monotonic() - begin:.1f} s")
    sys.exit(1 if failed else 0)
