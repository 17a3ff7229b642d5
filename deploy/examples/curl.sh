#!/usr/bin/env bash
# curl: the stream as it comes, one event a line.
set -euo pipefail
url="${OPENAI_BASE_URL:-http://127.0.0.1:8080/v1}"
model="${MODEL:-demo}"

curl -fsSN "$url/chat/completions" -H 'content-type: application/json' \
  -d '{"model": "'"$model"'", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
