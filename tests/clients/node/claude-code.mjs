// Claude Code in front of millpond, without a terminal: a plain turn, a tool turn, a cut stream, a rate limit. The
// provider behind speaks chat completions.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { MANNERS, model, run } from "./support.mjs";

const LIMIT = 45_000;
const PROGRAM = join(process.env.CLIENTS_NODE, "../claude-code/node_modules/.bin/claude");

/** Asks once, in an empty folder of its own: how it exited, and the object that it wrote. */
async function ask(model, tools) {
  const home = mkdtempSync(join(tmpdir(), "claude-code-"));
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    ANTHROPIC_BASE_URL: process.env.MILLPOND_URL,
    ANTHROPIC_API_KEY: "of-a-test",
    ANTHROPIC_MODEL: model,
    ANTHROPIC_DEFAULT_HAIKU_MODEL: model,
    CLAUDE_CODE_MAX_RETRIES: "1",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    DISABLE_TELEMETRY: "1",
    DISABLE_ERROR_REPORTING: "1",
    DISABLE_AUTOUPDATER: "1",
  };
  const args = ["-p", MANNERS.prompt, "--output-format", "json", "--tools", tools];
  const child = spawn(PROGRAM, args, { cwd: home, env, stdio: ["ignore", "pipe", "pipe"], timeout: LIMIT });
  let out = "";
  let said = "";
  child.stdout.on("data", (piece) => (out += piece));
  child.stderr.on("data", (piece) => (said += piece));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  rmSync(home, { recursive: true, force: true });
  const line = out.split("\n").find((line) => line.startsWith("{") && line.includes('"result"'));
  if (line === undefined) throw new Error(`it wrote no result: ${out}${said}`);
  return { code, ...JSON.parse(line) };
}

async function plain(check) {
  const { code, result, stop_reason, usage } = await ask(model("openai"), "");
  check.equal(code, 0, "the exit");
  check.that(result.includes("comes from the mock provider inside millpond"), `it says ${result}`);
  check.equal(stop_reason, "end_turn", "the reason");
  check.that(usage.output_tokens > 0 && usage.input_tokens > 0, "no tokens");
}

async function tool(check) {
  const { code, result, num_turns } = await ask(model("openai"), "Read");
  check.equal(code, 0, "the exit");
  check.that(result.startsWith("The tool says: “Error: "), `it says ${result}`);
  check.that(num_turns >= 2, `${num_turns} turns`);
}

async function fault(name, words, check) {
  const { code, result, is_error } = await ask(model("openai", name), "");
  check.equal([code, is_error], [1, true], "the exit");
  check.that(words.test(result), `it says ${result}`);
}

await run("claude code", [
  ["plain", "a turn", plain],
  ["tools", "a turn with a tool", tool],
  ["faults", "a cut stream", (check) => fault("cut-after-5", /502|cut|upstream/i, check)],
  ["faults", "a rate limit", (check) => fault("429", /429|rate limit/i, check)],
]);
