"""The engine that journals to NATS JetStream, over a store that it can make again. `engine` tells how."""
