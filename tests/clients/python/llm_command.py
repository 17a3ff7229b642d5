"""The command `llm` and its Python API, with a model of its `extra-openai-models.yaml`."""

import asyncio
import json
import os
import tempfile
from functools import partial
from pathlib import Path

# Its models and its log are not the user's.
HOME = tempfile.TemporaryDirectory()
os.environ["LLM_USER_PATH"] = HOME.name

import llm
import yaml
from click.testing import CliRunner
from frameworks import QUESTION, STREAM, TEXT, TOOL, Said, closely, compare, everywhere, reasoning, without
from llm.cli import cli
from support import MANNERS, readme

# What it gets wrong without millpond.
BREAKS = {
    "azure": (TEXT, STREAM),  # a delta that is null ends it
    "huggingface": (TEXT, STREAM),  # the tags of the reasoning stay in the text
    "mistral-magistral": (TEXT, STREAM),  # text in parts is no text to it
    "hyperbolic": (TEXT, STREAM),  # choices that are null end it
    "home-made-cr": (TOOL, STREAM),  # the arguments are there twice
    "legacy": (TOOL, STREAM),  # the call is not seen
    "openai/cut-after-3": (TEXT, STREAM),  # half an answer is an answer
}
MODELS = Path(HOME.name, "extra-openai-models.yaml")
lines = []
# The command takes the output of the whole process.
alone = asyncio.Lock()


def add(url, name, **more):
    """Adds README's line for another model of millpond's to the file; gives the model's name."""
    [line] = yaml.safe_load(readme("llm", url)[0])
    line |= {"model_id": f"{line['model_id']}-{len(lines)}", "model_name": name} | more
    lines.append(line)
    new = MODELS.with_suffix(".new")
    new.write_text(json.dumps(lines), encoding="utf-8")
    new.replace(MODELS)
    return line["model_id"]


async def framework(more, turn, url, name, streams):
    calls = []

    def weather(city: str, days: int) -> str:
        """What the sky will do."""
        calls.append({"city": city, "days": days})
        return MANNERS["tool_result"]

    tools = [weather] if turn == TOOL else []
    pond = llm.get_async_model(add(url, name, **more))
    options = {"reasoning_effort": "medium"} if more else {}
    async for response in pond.chain(QUESTION, tools=tools, stream=streams, options=options).responses():
        events = [event async for event in response.astream_events()]
        said, thought = ("".join(e.chunk for e in events if e.type == kind) for kind in ("text", "reasoning"))
    return Said(said, thought if more else None, calls)


chat = partial(framework, {})
responses = partial(framework, {"responses": True, "reasoning": True})


async def command(turn, url, name, streams):
    """The command, in this process, so that it stays on the loopback as well."""
    wanted = MANNERS["arguments"]["weather"]
    says = f"{MANNERS['tool_result']!r} if [city, days] == {list(wanted.values())} else 'nothing'"
    function = f'def weather(city: str, days: int) -> str:\n    """The sky."""\n    return {says}\n'
    options = [] if streams else ["--no-stream"]
    options += ["--functions", function] if turn == TOOL else []
    arguments = ["-m", add(url, name), "--no-log", *options, QUESTION]
    async with alone:
        ran = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
    if ran.exit_code:
        raise RuntimeError(ran.output) from ran.exception
    # Its tool tells nothing if it is called with other arguments.
    return Said(ran.stdout.strip("\n"), None, [wanted] if turn == TOOL else None)


async def main():
    checks = without(chat, BREAKS) + await everywhere("chat", chat) + closely("chat", chat, BREAKS)
    checks += closely("command", command, {}, "openrouter") + reasoning(responses)
    await compare("python llm", checks)


if __name__ == "__main__":
    asyncio.run(main())
