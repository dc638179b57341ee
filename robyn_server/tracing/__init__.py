"""Traces of requests and runs: OpenTelemetry's spans, an optional extra, and LangSmith's run trees. Their environment
variables decide.

    HTTP request ── enqueue <graph> ── run <graph> ── invoke_agent <name> ── node <node> ── chat <model>
        (web)           (web)           (worker)                                        └── execute_tool <tool>
                                                                                            └── the MCP server's

Rules
  1. `options` and `langsmith` import nothing of OpenTelemetry. The other modules do, and are imported only when it
     is on.
  2. Names of spans and attributes are those of the semantic conventions: HTTP, GenAI and MCP. Ours begin with
     `agenthall.`.
  3. The content of messages, tool calls and results is recorded only where
     OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is true. Attributes are copied by name from what is known to be
     harmless, never as a whole.
  4. Spans are sent by a thread. A collector that is slow or away costs spans, never a request or a run.
"""
