// Reads a Homebrew formula with Ruby's own parser: formula.mjs FILE
import { readFileSync } from "node:fs";
import { loadPrism } from "@ruby/prism";

const parse = await loadPrism();
const { errors, warnings } = parse(readFileSync(process.argv[2], "utf8"));
if (errors.length + warnings.length > 0) {
  console.log(JSON.stringify([...errors, ...warnings]));
  process.exit(1);
}
