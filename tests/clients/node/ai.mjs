// Vercel's AI SDK in front of millpond: its provider for OpenAI, which speaks the Responses API unless it is told to
// chat, and the one for compatible servers.

import { MANNERS, evaluate, installed, model, readme, setEnvironment } from "./support.mjs";
import { WEATHER, tryClient } from "./trial.mjs";

const { generateText, jsonSchema, stepCountIs, streamText, tool } = installed("ai");
const { createOpenAI } = installed("@ai-sdk/openai");
const { createOpenAICompatible } = installed("@ai-sdk/openai-compatible");

const OPENAI = "ai with @ai-sdk/openai (Node)";
const openai = (url) => evaluate(readme(OPENAI, url)[0], { createOpenAI });
const compatible = (url) => evaluate(readme("ai with @ai-sdk/openai-compatible (Node)", url)[0], { createOpenAICompatible });

/** One request for both ways; the tool runs inside the SDK, which sends its result back. */
function request(model, execute) {
  const { description, parameters } = WEATHER;
  const tools = execute && { weather: tool({ description, inputSchema: jsonSchema(parameters), execute }) };
  return { model, prompt: MANNERS.prompt, maxRetries: 0, stopWhen: stepCountIs(3), ...(tools && { tools }) };
}

/** The words of a stream, as its parts tell them; an error is a part. */
async function streamed(model, execute, thinks) {
  const shown = { text: "", reasoning: thinks ? "" : undefined };
  const { fullStream } = streamText({ ...request(model, execute), onError() {} });
  for await (const part of fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") shown.text += part.text;
    if (part.type === "reasoning-delta" && thinks) shown.reasoning += part.text;
  }
  return shown;
}

async function whole(model, execute, thinks) {
  const { text, steps } = await generateText(request(model, execute));
  return { text, reasoning: thinks ? steps.map((step) => step.reasoningText ?? "").join("") : undefined };
}

const ways = {};
for (const read of [streamed, whole]) {
  ways[`responses ${read.name}`] = (url, model, execute) => read(openai(url)(model), execute, true);
  // It shows no reasoning.
  ways[`chat ${read.name}`] = (url, model, execute) => read(openai(url).chat(model), execute, false);
  ways[`compatible ${read.name}`] = (url, model, execute) => read(compatible(url)(model), execute, true);
}

/** The provider that is made without an address finds millpond by README's other line. */
async function byEnvironment(check) {
  setEnvironment(readme(OPENAI)[1]);
  const { text } = await streamed(createOpenAI({ apiKey: "unused" })(model("groq")));
  check.equal(text, MANNERS.answer, "the answer");
}

const objects = ["huggingface", "mistral-magistral tool", "legacy tool", "home-made"];
await tryClient("ai", ways, {
  // The fake provider speaks this API in one manner; what carries the events differs.
  "responses streamed": ["openai/keep-alives", "openai/nan-3", "openai/json", "openai/html-200", "openai/cut-after-3"],
  "chat streamed": ["mistral-magistral", "google tool", "nebius", "snowflake tool", "legacy tool", "openai/done-spaces"],
  "compatible streamed": ["hyperbolic", "snowflake", "home-made-cr tool", "huggingface", "openai/keep-alives"],
  "chat whole": objects,
  "compatible whole": objects,
}, [["readme", "environment", byEnvironment]]);
