#!/usr/bin/env bash
# Shows what a trace store makes of millpond: starts Arize Phoenix and millpond with its fake provider on this
# machine, asks for one answer, and prints the spans of that request as Phoenix gives them back.
#
#   deploy/examples/phoenix.sh [MILLPOND]
#
# MILLPOND is the program, target/release/millpond if it is not given. Python 3.10 or newer and curl are needed.
# Phoenix is installed once, about 900 MB, into PHOENIX_VENV (target/phoenix). On a terminal both keep running
# until Enter is pressed, to look around at http://127.0.0.1:PHOENIX_PORT (6006).
set -euo pipefail
cd "$(dirname "$0")/../.."

millpond="${1:-target/release/millpond}"
venv="${PHOENIX_VENV:-target/phoenix}"
export PHOENIX_HOST=127.0.0.1
export PHOENIX_PORT="${PHOENIX_PORT:-6006}"
export PHOENIX_GRPC_PORT="${PHOENIX_GRPC_PORT:-4317}"
export PHOENIX_TELEMETRY_ENABLED=false
# How long each of the two may take to start, in seconds.
patience=120

if [ ! -x "$millpond" ]; then
  echo "$millpond is not there: cargo build --release" >&2
  exit 1
fi

work="$(mktemp -d)"
export PHOENIX_WORKING_DIR="$work"
started=()
stop() {
  # Those that have ended by themselves are no failure.
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap stop EXIT

# Waits until a command succeeds, while a process lives.
await() {
  local pid="$1" log="$2"
  shift 2
  local deadline=$((SECONDS + patience))
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      cat "$log" >&2
      exit 1
    fi
    sleep 0.2
  done
}

if [ ! -x "$venv/bin/phoenix" ]; then
  echo "installing Phoenix into $venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check arize-phoenix
fi

phoenix="http://127.0.0.1:$PHOENIX_PORT"
"$venv/bin/phoenix" serve >"$work/phoenix.log" 2>&1 &
started+=("$!")
await "$!" "$work/phoenix.log" curl -fsS "$phoenix/healthz"

OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:$PHOENIX_GRPC_PORT" \
OTEL_EXPORTER_OTLP_PROTOCOL=grpc \
OTEL_METRICS_EXPORTER=none \
OTEL_BSP_SCHEDULE_DELAY=100 \
OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only \
  "$millpond" serve --demo --listen 127.0.0.1:0 2>"$work/millpond.log" &
started+=("$!")
await "$!" "$work/millpond.log" grep -q 'listens on http://.*' "$work/millpond.log"
address="$(sed -n 's/^millpond .* listens on \(http.*\)$/\1/p' "$work/millpond.log")"

curl -fsS "$address/v1/chat/completions" -H 'content-type: application/json' \
  -d '{"model": "demo/openrouter", "messages": [{"role": "user", "content": "Hello, ducks!"}]}' >/dev/null

# Phoenix shows spans a moment after it took them.
spans() {
  curl -fsS "$phoenix/v1/projects/default/spans" >"$work/spans.json"
  [ "$(grep -o '"span_kind"' "$work/spans.json" | wc -l)" -ge 3 ]
}
await "${started[0]}" "$work/phoenix.log" spans

python3 - "$work/spans.json" <<'PYTHON'
import json, sys

spans = json.load(open(sys.argv[1]))["data"]

def show(parent, depth):
    for span in spans:
        if span.get("parent_id") != parent:
            continue
        print("  " * depth + f"{span['name']}  {span['status_code']}  {span['context']['span_id']}")
        for name, value in sorted(span["attributes"].items()):
            print("  " * depth + f"    {name} = {value}")
        show(span["context"]["span_id"], depth + 1)

show(None, 0)
PYTHON

if [ -t 0 ]; then
  read -r -p "Phoenix shows it at $phoenix; Enter ends it. "
fi
