// LangChain's model for OpenAI in front of millpond, over chat completions, which it speaks by itself, and over the
// Responses API.

import { MANNERS, evaluate, installed, model, readme, setEnvironment } from "./support.mjs";
import { WEATHER, tryClient } from "./trial.mjs";

const { ChatOpenAI } = installed("@langchain/openai");
const { HumanMessage, ToolMessage } = installed("@langchain/core/messages");

const CLIENT = "@langchain/openai (Node)";
const TURNS = 3;

/** README's model, without retries, over either of the two APIs. */
function chatOf(url, model, useResponsesApi) {
  class Chat extends ChatOpenAI {
    constructor(fields) {
      super({ ...fields, useResponsesApi, maxRetries: 0 });
    }
  }
  return evaluate(readme(CLIENT, url)[0], { ChatOpenAI: Chat, model });
}

/** What the blocks of a kind say, joined. */
function words({ contentBlocks }, kind) {
  return contentBlocks.filter((block) => block.type === kind).map((block) => block[kind]).join("");
}

/** A message of a stream: its chunks, added up. */
async function streamed(chat, messages) {
  let message;
  for await (const chunk of await chat.stream(messages)) message = message?.concat(chunk) ?? chunk;
  return message;
}

async function whole(chat, messages) {
  return await chat.invoke(messages);
}

/** Asks until no tool is called; the results go back with the messages as they came. */
async function talk(read, chat, execute, thinks) {
  const asked = execute ? chat.bindTools([{ type: "function", function: WEATHER }]) : chat;
  const messages = [new HumanMessage(MANNERS.prompt)];
  let reasoning = "";
  for (let turn = 0; turn < TURNS; turn++) {
    const message = await read(asked, messages);
    reasoning += words(message, "reasoning");
    messages.push(message);
    if (!message.tool_calls?.length) break;
    for (const { id, args } of message.tool_calls) {
      messages.push(new ToolMessage({ tool_call_id: id, content: execute(args) }));
    }
  }
  return { text: words(messages.at(-1), "text"), reasoning: thinks ? reasoning : undefined };
}

/** The model that is made without an address finds millpond by README's other line. */
async function byEnvironment(check) {
  setEnvironment(readme(CLIENT)[1]);
  const { text } = await talk(streamed, new ChatOpenAI({ model: model("groq") }));
  check.equal(text, MANNERS.answer, "the answer");
}

const ways = {};
for (const read of [streamed, whole]) {
  // It shows no reasoning.
  ways[`chat ${read.name}`] = (url, name, execute) => talk(read, chatOf(url, name, false), execute, false);
  ways[`responses ${read.name}`] = (url, name, execute) => talk(read, chatOf(url, name, true), execute, true);
}
await tryClient("langchain", ways, {
  "chat streamed": ["groq-compound tool", "google tool", "cloudflare tool", "home-made", "legacy tool", "openai/keep-alives"],
  "responses streamed": ["openai/keep-alives", "openai/nan-3", "openai/json", "openai/cut-after-3"],
  "chat whole": ["huggingface", "legacy tool", "home-made tool"],
}, [["readme", "environment", byEnvironment]]);
