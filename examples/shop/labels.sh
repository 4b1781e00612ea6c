#!/bin/sh
# Labels prints an address label for each order that ships: curl, sed, and nothing else.
#
#     sh labels.sh [URL of the bus]
set -eu

bus="${EVENTYARD_URL:-http://127.0.0.1:8410}"
bus="${1:-$bus}/v1/buses/default"

# ask PATH BODY: one POST; what the bus answers, and a failure where it does not, or says no.
ask() {
  curl --silent --show-error --fail --header 'content-type: application/json' --data "$2" "$bus/$1"
}

# Its rule: what it wants, from the beginning of the log on, kept until it comes for it. The same again changes nothing.
curl --silent --show-error --fail --output /dev/null --request PUT --header 'content-type: application/json' \
  --data '{"pattern": {"type": ["order.shipped"]}, "target": {"queue": {}}, "start": "earliest",
           "description": "A label for each parcel", "owner": "team-labels"}' \
  "$bus/rules/labels"

while true; do
  # One at a time. Where nothing waits, the answer comes with the next event, or empty after 20 seconds.
  answer=$(ask rules/labels/receive '{"max": 1, "wait_s": 20}') || { sleep 1; continue; }
  lease=$(printf '%s' "$answer" | sed -n 's/^{"deliveries":\[{"id":"[^"]*","lease":"\([^"]*\)".*/\1/p')
  order=$(printf '%s' "$answer" | sed -n 's/.*"subject": *"\([A-Za-z0-9-]*\)".*/\1/p')
  event=$(printf '%s' "$answer" | sed -n 's/.*"event":{.*"id": *"\([A-Za-z0-9-]*\)".*/\1/p')
  source=$(printf '%s' "$answer" | sed -n 's/.*"event":{.*"source": *"\([A-Za-z0-9/._-]*\)".*/\1/p')
  [ -n "$lease" ] || continue
  if [ -z "$order" ] || [ -z "$event" ] || [ -z "$source" ]; then
    ask rules/labels/reject "{\"leases\": [\"$lease\"], \"reason\": \"no order as its subject\"}" > /dev/null || true
    continue
  fi
  echo "a label for $order"
  # What it did is an event too. Its id comes from the order, so that the same again is one. Whatever fails here is not
  # acknowledged: the lease runs out, and it is given out again.
  curl --silent --show-error --fail --output /dev/null \
    --header 'ce-specversion: 1.0' --header "ce-id: label-$order" --header 'ce-source: /shop/labels' \
    --header 'ce-type: label.printed' --header "ce-subject: $order" \
    --header "ce-causationid: $event" --header "ce-causationsource: $source" --data '' --header 'content-type:' "$bus/events" || continue
  ask rules/labels/acknowledge "{\"leases\": [\"$lease\"]}" > /dev/null || continue
done
