// Codex in front of millpond, which it can speak to by the Responses API alone: a turn of tools that ends in words, a
// stream that is cut, a limit of rates.
//
// CODEX names the folder whose node_modules holds it, CODEX_HOME a folder that is its own.

import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { run } from "./support.mjs";

const work = join(process.env.CODEX_HOME, "work");
mkdirSync(work, { recursive: true });

/** Asks once, without retries of its own; gives the exit code and the events. */
async function codex(model, hosted) {
  const provider = {
    name: "millpond",
    base_url: `${process.env.MILLPOND_URL}/v1`,
    wire_api: "responses",
    request_max_retries: 0,
    stream_max_retries: 0,
  };
  const settings = Object.entries(provider).map(([name, value]) => `model_providers.millpond.${name}=${JSON.stringify(value)}`);
  // The tool that it has its provider run is refused where the provider cannot.
  settings.push('model_provider="millpond"', `web_search="${hosted ? "cached" : "disabled"}"`);
  const flags = ["exec", "--json", "--skip-git-repo-check", "-C", work, "-m", model];
  const program = join(process.env.CODEX, "node_modules/.bin/codex");
  const child = spawn(program, [...flags, ...settings.flatMap((each) => ["-c", each]), "Hello, ducks!"], {
    env: { PATH: process.env.PATH, HOME: process.env.CODEX_HOME, CODEX_HOME: process.env.CODEX_HOME },
    stdio: ["ignore", "pipe", "ignore"],
  });
  let text = "";
  for await (const piece of child.stdout.setEncoding("utf8")) text += piece;
  const code = child.exitCode ?? (await new Promise((resolve) => child.once("close", resolve)));
  return { code, events: text.trim().split("\n").map((line) => JSON.parse(line)) };
}

async function works(model, hosted, check) {
  const { code, events } = await codex(model, hosted);
  const seen = JSON.stringify(events);
  check.equal(code, 0, `the exit code after ${seen}`);
  const items = events.filter((event) => event.type === "item.completed").map((event) => event.item);
  check.that(items.some((item) => item.type === "command_execution"), `no command was run: ${seen}`);
  const words = items.filter((item) => item.type === "agent_message").at(-1)?.text ?? "";
  check.that(words.trim().startsWith("The tool says: “"), `it says ${words}`);
  const usage = events.find((event) => event.type === "turn.completed")?.usage;
  check.that(usage?.output_tokens > 0, `usage is ${JSON.stringify(usage)}`);
}

async function fails(model, says, check) {
  const { code, events } = await codex(model, false);
  check.equal(code, 1, "the exit code");
  const failed = events.find((event) => event.type === "turn.failed");
  check.that(failed?.error.message.includes(says), `it ends as ${JSON.stringify(failed)}`);
}

const checks = [];
for (const model of ["demo", "demo/openrouter", "demo/groq", "demo/mistral", "anthropic/claude-sonnet-4-5", "google/gemini-3-pro-preview"]) {
  checks.push(["tools", model, (check) => works(model, false, check)]);
}
checks.push(["tools", "openai/gpt-5 with a hosted tool", (check) => works("openai/gpt-5", true, check)]);
checks.push(["faults", "a hosted tool", async (check) => {
  const { events } = await codex("demo", true);
  check.that(JSON.stringify(events).includes("web_search"), "the tool is not named");
}]);
checks.push(["faults", "cut", (check) => fails("demo/cut-after-3", "was cut", check)]);
checks.push(["faults", "rate", (check) => fails("demo/429", "429", check)]);
await run("codex", checks);
