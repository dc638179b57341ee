"""Requests, responses, routing, validation, problems and Server-Sent Events. No framework."""
