// Vercel's AI SDK. npm install ai @ai-sdk/openai-compatible
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

const millpond = createOpenAICompatible({
  name: "millpond",
  baseURL: process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8080/v1",
  apiKey: process.env.OPENAI_API_KEY ?? "unused",
});
const { textStream } = streamText({
  model: millpond(process.env.MODEL ?? "demo"),
  prompt: "Hello",
  onError: ({ error }) => {
    throw error;
  },
});
for await (const text of textStream) process.stdout.write(text);
process.stdout.write("\n");
