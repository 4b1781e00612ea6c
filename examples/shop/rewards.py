"""Rewards gives points for larger orders. It came last: one rule, which starts in the past, and nobody else changed a line."""

from service import Event, Service, run  # type: ignore[import-not-found]  # beside this script

RULE = {
    "pattern": {"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 20]}]}},
    "start": "earliest",
    "description": "Reward points for paid orders of 20 and more",
    "owner": "team-rewards",
}


def receive(rewards: Service, event: Event) -> None:
    order = event["data"]
    points = int(order["total"])
    rewards.remember("points", rewards.recall("points", 0) + points)
    rewards.publish("points.granted", order["order"], {"order": order["order"], "points": points})
    rewards.say(f"{points} points for {order['order']}")


if __name__ == "__main__":
    run("rewards", RULE, receive)
