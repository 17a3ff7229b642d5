// Codex in front of millpond, which it can speak to by the Responses API alone: turns of a tool that end in words,
// faults, and streams that break it without millpond.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { alone, launch } from "./agent.mjs";
import { MANNERS, model, readme, run } from "./support.mjs";

const PROGRAM = join(process.env.CLIENTS_NODE, "../codex/node_modules/.bin/codex");

// README's lines, without retries, and without what it asks of others by itself.
const [name, provider, search] = readme("Codex", "URL");
const OURS = {
  "model_providers.millpond.request_max_retries": 0,
  "model_providers.millpond.stream_max_retries": 0,
  "analytics.enabled": false,
  check_for_update_on_startup: false,
  "features.apps": false,
  "features.plugins": false,
};

/** Asks once; gives the exit code and the events. */
async function codex(url, model, hosted) {
  const lines = [name, provider.replace("URL", url), ...(hosted ? [] : [search])];
  const settings = Object.entries(OURS).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
  const args = ["exec", "--json", "--skip-git-repo-check", "-m", model, ...settings, MANNERS.prompt];
  const { code, out } = await launch(PROGRAM, args, {}, (home) => {
    mkdirSync(join(home, ".codex"));
    writeFileSync(join(home, ".codex/config.toml"), lines.join("\n"));
  });
  const events = out.trim().split("\n").map((line) => JSON.parse(line));
  const items = events.filter((event) => event.type === "item.completed").map((event) => event.item);
  return { code, events, items, words: items.filter((item) => item.type === "agent_message").at(-1)?.text.trim() ?? "" };
}

/** What is wrong with a run: it calls a tool, sends the result back, and says the last words. */
async function wrong(url, model, hosted, thinks) {
  const { code, events, items, words } = await codex(url, model, hosted);
  const usage = events.find((event) => event.type === "turn.completed")?.usage;
  const right =
    code === 0 &&
    items.some((item) => item.type === "command_execution") &&
    words.startsWith("The tool says: “") &&
    usage?.output_tokens > 0 &&
    (!thinks || items.some((item) => item.type === "reasoning" && item.text.trim() === MANNERS.reasoning));
  return right ? null : `exit ${code} after ${JSON.stringify(events)}`;
}

async function works(model, hosted, thinks, check) {
  check.equal(await wrong(process.env.MILLPOND_URL, model, hosted, thinks), null, "what is wrong");
}

/** The same damage to the stream, without millpond and with it. */
async function breaks(fault, check) {
  check.equal(await wrong(process.env.MOCK_URL, "openai"), null, "without the damage: what is wrong");
  check.that(await wrong(process.env.MOCK_URL, `openai/${fault}`), "it breaks nothing any more: name another fault");
  await works(model("openai", fault), false, false, check);
}

/** Without millpond it passes over what it cannot read, and takes the rest for the whole answer. */
async function swallows(check) {
  check.equal(await wrong(process.env.MOCK_URL, "openai/garbage-3"), null, "it swallows no garbage any more");
  await fails("garbage-3", "cannot be read", check);
}

async function fails(fault, says, check) {
  const { code, events } = await codex(process.env.MILLPOND_URL, model("openai", fault), false);
  check.equal(code, 1, "the exit code");
  const failed = events.find((event) => event.type === "turn.failed");
  check.that(failed?.error.message.includes(says), `it ends as ${JSON.stringify(failed ?? events)}`);
}

const checks = [];
for (const manner of ["openai", "openrouter", "groq", "mistral"]) {
  checks.push(["tools", manner, (check) => works(model(manner), false, MANNERS.reasons.includes(manner), check)]);
}
for (const name of ["anthropic/claude-sonnet-4-5", "google/gemini-3-pro-preview"]) {
  checks.push(["tools", name, (check) => works(name, false, false, check)]);
}
checks.push(["tools", "openai/gpt-5 with a hosted tool", (check) => works("openai/gpt-5", true, false, check)]);
checks.push(["faults", "a hosted tool", async (check) => {
  const { events } = await codex(process.env.MILLPOND_URL, "demo", true);
  check.that(JSON.stringify(events).includes("web_search"), "the tool is not named");
}]);
for (const [fault, says] of [["429", "429"], ["cut-after-3", "was cut"], ["error-3", "failed"], ["empty", "502"]]) {
  checks.push(["faults", fault, (check) => fails(fault, says, check)]);
}
for (const fault of ["json", "bom", "cr"]) {
  checks.push(["without millpond", fault, (check) => breaks(fault, check)]);
}
checks.push(["without millpond", "garbage", swallows]);
await run("codex", [...checks, alone]);
