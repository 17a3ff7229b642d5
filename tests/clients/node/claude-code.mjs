// Claude Code in front of millpond, without a terminal: plain turns, turns with a tool, faults. Pointed at a provider
// of chat completions it finds nothing at all.

import { join } from "node:path";

import { alone, launch } from "./agent.mjs";
import { MANNERS, model, readme, run } from "./support.mjs";

const PROGRAM = join(process.env.CLIENTS_NODE, "../claude-code/node_modules/.bin/claude");

/** Asks once: how it exited, and the object that it wrote. */
async function ask(model, tools) {
  // README's line is variables and the command.
  const variables = readme("Claude Code")[0].split(" ").slice(0, -1).map((pair) => pair.split("="));
  const env = {
    ...Object.fromEntries(variables),
    ANTHROPIC_MODEL: model,
    ANTHROPIC_DEFAULT_HAIKU_MODEL: model,
    CLAUDE_CODE_MAX_RETRIES: "1",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    DISABLE_TELEMETRY: "1",
    DISABLE_ERROR_REPORTING: "1",
    DISABLE_AUTOUPDATER: "1",
  };
  const { code, out, said } = await launch(PROGRAM, ["-p", MANNERS.prompt, "--output-format", "json", "--tools", tools], env);
  const line = out.split("\n").find((line) => line.startsWith("{") && line.includes('"result"'));
  if (line === undefined) throw new Error(`it wrote no result: ${out}${said}`);
  return { code, ...JSON.parse(line) };
}

async function plain(model, check) {
  const { code, result, stop_reason, usage } = await ask(model, "");
  check.equal(code, 0, "the exit");
  check.that(result.includes("comes from the mock provider inside millpond"), `it says ${result}`);
  check.equal(stop_reason, "end_turn", "the reason");
  check.that(usage.output_tokens > 0 && usage.input_tokens > 0, "no tokens");
}

async function tool(model, check) {
  const { code, result, num_turns } = await ask(model, "Read");
  check.equal(code, 0, "the exit");
  check.that(result.trim().startsWith("The tool says: “"), `it says ${result}`);
  check.that(num_turns >= 2, `${num_turns} turns`);
}

async function fault(name, words, check) {
  const { code, result, is_error } = await ask(model("openai", name), "");
  check.equal([code, is_error], [1, true], "the exit");
  check.that(words.test(result), `it says ${result}`);
}

const models = [...["openai", "groq", "perplexity", "home-made-cr"].map((manner) => model(manner)), "openai/gpt-5", "google/gemini-3-pro-preview"];
await run("claude code", [
  ...models.map((name) => ["plain", name, (check) => plain(name, check)]),
  ...models.map((name) => ["tools", name, (check) => tool(name, check)]),
  ["faults", "a rate limit", (check) => fault("429", /429|rate limit/i, check)],
  ["faults", "a cut stream", (check) => fault("cut-after-5", /502|cut|upstream/i, check)],
  ["faults", "an error", (check) => fault("error-3", /failed/i, check)],
  ["faults", "garbage", (check) => fault("garbage-3", /cannot be read/, check)],
  ["faults", "nothing", (check) => fault("empty", /502|empty/i, check)],
  alone,
]);
