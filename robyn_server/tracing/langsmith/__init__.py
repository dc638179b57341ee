"""LangSmith: run trees, and URLs for feedback. Nothing of OpenTelemetry is imported."""
