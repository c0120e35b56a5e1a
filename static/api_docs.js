const answer = await fetch("/api/openapi.json");
const described = await answer.json();

SwaggerUIBundle({
  // The browser lets this page call its own origin alone, whatever the issuer is called.
  spec: { ...described, servers: [{ url: location.origin }] },
  dom_id: "#api",
  deepLinking: true,
  displayOperationId: false,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  // Asks nobody else about the document, and keeps no token for the next visit.
  validatorUrl: null,
  persistAuthorization: false,
});
