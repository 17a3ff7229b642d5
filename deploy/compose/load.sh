#!/bin/sh
# Asks millpond's demo provider about twice a second, in the manners of several providers and with faults, streamed
# and not:
#
#   load.sh URL [ROUNDS]
#
# Without ROUNDS it never ends. It says when millpond itself cannot be asked; a fault that was asked for is none.
set -eu
url="$1"
rounds="${2:--1}"
# A line each time: what is asked, and whether as a stream.
asked='demo true
demo/openrouter true
demo/openrouter-claude true
demo/groq false
demo/vllm true
demo/google true
demo/deepseek true
demo/openai/cut-after-3 true
demo/slow true
demo/openai/429 false'

ask() {
  # The answer goes nowhere, and its status says nothing of millpond: faults have one too.
  curl -sSN --max-time 60 -o /dev/null "$url/v1/chat/completions" -H 'content-type: application/json' \
    -d '{"model": "'"$1"'", "stream": '"$2"', "stream_options": {"include_usage": true},
         "messages": [{"role": "user", "content": "Is the mill wheel turning?"}]}'
}

while [ "$rounds" -ne 0 ]; do
  while read -r model stream; do
    ask "$model" "$stream" &
    sleep 0.5
  done <<ASKED
$asked
ASKED
  rounds=$((rounds - 1))
done
wait
