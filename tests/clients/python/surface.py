"""The official Python SDK over what is no chat: embeddings, moderations, images, audio, rerankings, files and batches.

What names no model goes to the provider that a header names.
"""

import asyncio
import io
import math

import openai
from support import client, run

TO_OPENAI = {"x-millpond-provider": "openai"}


async def embeddings(check):
    texts = ["mill", "pond"]
    # The SDK asks for base64, and decodes it.
    decoded = await client.embeddings.create(model="openai/text-embedding-3-small", input=texts, dimensions=5)
    plain = await client.embeddings.create(model="demo/any", input=texts, dimensions=5, encoding_format="float")
    check.equal(len(decoded.data), 2, "how many")
    check.equal(decoded.model, "text-embedding-3-small", "the model")
    for one, other in zip(decoded.data, plain.data, strict=True):
        near = all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(one.embedding, other.embedding, strict=True))
        check.that(len(one.embedding) == 5 and near, f"{one.embedding} is not {other.embedding}")
    check.that(decoded.usage.prompt_tokens > 0, f"usage: {decoded.usage}")


async def moderations(check):
    said = await client.moderations.create(input=["calm", "violence"], extra_headers=TO_OPENAI)
    check.equal([result.flagged for result in said.results], [False, True], "flagged")


async def images(check):
    drawn = await client.images.generate(model="openai/gpt-image-1", prompt="a mill", n=2)
    check.equal(len(drawn.data), 2, "how many")
    png = io.BytesIO(b"\x89PNG")
    png.name = "mill.png"
    edited = await client.images.edit(model="openai/gpt-image-1", image=png, prompt="a pond")
    check.that(bool(edited.data[0].b64_json), "the edited image is empty")


async def rerankings(check):
    # The SDK has no method for it.
    asked = {"model": "demo/any", "query": "mill pond", "documents": ["the sea", "the mill pond"]}
    ranked = await client.post("/rerank", cast_to=object, body=asked)
    check.equal([result["index"] for result in ranked["results"]], [1, 0], "the order")


async def audio(check):
    asked = {"model": "openai/gpt-4o-mini-tts", "voice": "alloy", "input": "Hello, ducks!"}
    spoken = await client.audio.speech.create(**asked)
    check.that(spoken.content.startswith(b"RIFF"), "the speech is no WAV")
    async with client.audio.speech.with_streaming_response.create(**asked) as streamed:
        pieces = [piece async for piece in streamed.iter_bytes()]
    check.that(b"".join(pieces) == spoken.content, "the streamed speech is another")
    heard = await client.audio.transcriptions.create(model="openai/whisper-1", file=("a.wav", spoken.content))
    check.equal(heard.text, f"The file a.wav has {len(spoken.content)} bytes.", "the transcription")
    text = await client.audio.translations.create(
        model="openai/whisper-1", file=("b.wav", spoken.content), response_format="text"
    )
    check.equal(text, f"The file b.wav has {len(spoken.content)} bytes.", "the translation")


async def files(check):
    lines = b'{"custom_id": "1"}\n' * 1000
    ours = client.with_options(default_headers=TO_OPENAI)
    file = await ours.files.create(file=("in.jsonl", lines), purpose="batch")
    check.equal((file.filename, file.bytes, file.purpose), ("in.jsonl", len(lines), "batch"), "the file")
    check.that(file.id in [known.id async for known in ours.files.list()], "the file is not listed")
    check.equal(await ours.files.retrieve(file.id), file, "the same file")
    check.that((await ours.files.content(file.id)).content == lines, "the content is another")
    batch = await ours.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
    check.equal((await ours.batches.retrieve(batch.id)).input_file_id, file.id, "the batch")
    check.that(batch.id in [known.id async for known in ours.batches.list()], "the batch is not listed")
    check.equal((await ours.batches.cancel(batch.id)).status, "cancelling", "its status")
    check.that((await ours.files.delete(file.id)).deleted, "the file is not deleted")
    await raises(check, "a file that is gone", openai.NotFoundError, ours.files.retrieve(file.id))


async def raises(check, what, kind, request):
    try:
        said = await request
        check.that(False, f"{what}: no error, but {said!r}")
    except openai.APIError as error:
        check.that(type(error) is kind and bool(error.message), f"{what}: {error!r}")


async def faults(check):
    for fault, kind in (
        ("401", openai.AuthenticationError),
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("abort-after-1", openai.APIConnectionError),
    ):
        request = client.embeddings.create(model=f"openai/any/{fault}", input="x")
        await raises(check, fault, kind, request)
    nobody = client.embeddings.create(model="anthropic/any", input="x")
    await raises(check, "a provider without it", openai.InternalServerError, nobody)
    header = {"x-millpond-provider": "nobody"}
    await raises(check, "no such provider", openai.BadRequestError, client.files.retrieve("f", extra_headers=header))


async def main():
    checks = (embeddings, moderations, images, rerankings, audio, files, faults)
    await run("python surface", [("all", check.__name__, check) for check in checks])


if __name__ == "__main__":
    asyncio.run(main())
