"""The worker's HTTP port, and what it makes of requests and of answers."""
