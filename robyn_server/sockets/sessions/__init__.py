"""The state of each socket: its registrations, its expiry, the notifications to its client."""
