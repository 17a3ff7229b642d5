// The OpenAI Agents SDK in front of millpond, over the Responses API, which it speaks by itself, and over chat
// completions.

import { MANNERS, OpenAI, evaluate, installed, model, readme, setEnvironment } from "./support.mjs";
import { WEATHER, tryClient } from "./trial.mjs";

const CLIENT = "@openai/agents (Node)";

// It reads its environment when it is loaded, and would send traces to OpenAI without what README's line says.
setEnvironment(readme(CLIENT)[1]);
const { Agent, OpenAIProvider, Runner, tool } = installed("@openai/agents");

/** README's runner, without retries, over either of the two APIs. */
function runnerOf(url, useResponses) {
  class Provider extends OpenAIProvider {
    constructor(options) {
      super({ openAIClient: new OpenAI({ ...options, maxRetries: 0 }), useResponses });
    }
  }
  return evaluate(readme(CLIENT, url)[0], { OpenAIProvider: Provider, Runner });
}

/** An agent, which runs its tool itself and sends the result back. */
function agent(model, execute) {
  const tools = execute ? [tool({ ...WEATHER, strict: true, execute })] : [];
  return new Agent({ name: "Duck", model, tools });
}

/** What the items of a run say of reasoning. */
function thought({ newItems }) {
  const items = newItems.filter((item) => item.type === "reasoning_item").map((item) => item.rawItem);
  return items.flatMap((item) => [...item.content, ...(item.rawContent ?? [])].map((part) => part.text)).join("");
}

async function streamed(runner, duck) {
  const result = await runner.run(duck, MANNERS.prompt, { stream: true });
  let text = "";
  for await (const piece of result.toTextStream()) text += piece;
  await result.completed;
  return { text, reasoning: thought(result) };
}

async function whole(runner, duck) {
  const result = await runner.run(duck, MANNERS.prompt);
  return { text: result.finalOutput, reasoning: thought(result) };
}

/** The runner that is made without an address finds millpond by README's other line. */
async function byEnvironment(check) {
  const { text } = await streamed(new Runner(), agent(model("groq")));
  check.equal(text, MANNERS.answer, "the answer");
}

const ways = {};
for (const read of [streamed, whole]) {
  ways[`responses ${read.name}`] = (url, name, execute) => read(runnerOf(url, true), agent(name, execute));
  ways[`chat ${read.name}`] = (url, name, execute) => read(runnerOf(url, false), agent(name, execute));
}
await tryClient("openai agents", ways, {
  "responses streamed": ["openai/keep-alives", "openai/nan-3", "openai/json"],
  "chat streamed": ["mistral-magistral", "google tool", "llama-cpp-python tool", "legacy tool", "openai/cut-after-3"],
  "chat whole": ["deepseek", "google tool", "legacy tool", "home-made tool"],
}, [["readme", "environment", byEnvironment]]);
