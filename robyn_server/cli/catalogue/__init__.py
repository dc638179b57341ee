"""Commands of `agenthall catalogue`, and the output of `agenthall sync`."""
