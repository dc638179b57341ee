/** Where the console and the API are. The server writes the base, which is relative, so a proxy's prefix is in it. */
export const consoleUrl = new URL("./", document.baseURI);

/** `npm run dev` serves the console at the root; a server serves it one level below the API. */
export const apiUrl = import.meta.env.DEV ? new URL("/", consoleUrl) : new URL("../", consoleUrl);

/** Without a trailing slash, as clients of the API want it. */
export const apiRoot = apiUrl.href.replace(/\/$/, "");
