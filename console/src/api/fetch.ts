import { credentials, getSession, refuse } from "./session";

/** `fetch` with the session's credentials. A 401 makes the console ask for others. */
export async function authorizedFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const asked = getSession();
  const request = new Request(input, init);
  for (const [name, value] of Object.entries(credentials(asked))) request.headers.set(name, value);
  const response = await fetch(request);
  if (response.status === 401) refuse(asked);
  return response;
}
