"use strict";

// Swagger UI, with the address of this server. Below the prefix of a proxy it is relative to the page, too.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const followSystem = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followSystem);
followSystem();

SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#reference",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  docExpansion: "list",
  filter: true,
  // Credentials are forgotten with the page.
  persistAuthorization: false,
  tryItOutEnabled: true,
  // The validator of Swagger UI is another host.
  validatorUrl: null,
});
