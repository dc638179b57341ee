import { Client } from "@langchain/langgraph-sdk/client";
import { authorizedFetch } from "./fetch";
import { apiRoot } from "./location";

/** The LangGraph API through its official SDK. TanStack Query retries, so the SDK does not. */
export const langgraph = new Client({
  apiUrl: apiRoot,
  apiKey: null,
  callerOptions: { fetch: authorizedFetch, maxRetries: 0 },
});
