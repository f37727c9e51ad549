// The page at /docs: the published document in Swagger UI, with a login at the tenant (Authorization Code + PKCE).
// The document names the tenant; where one logs in there, the tenant's own discovery document says.
"use strict";

const page = document.getElementById("docs").dataset;

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const dress = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", dress);
dress();

function tell(text) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.hidden = false;
}

async function json(url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
  return answer.json();
}

// OpenID Connect Discovery 1.0 §4.3: what calls itself otherwise is another tenant.
async function discovered() {
  const found = await json(`${page.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (found.issuer !== page.issuer) throw new Error(`the tenant calls itself ${found.issuer}`);
  return found;
}

// Swagger UI knows no openIdConnect: the same as OAuth 2, and beside it a token that is pasted.
function withLogin(document_, tenant, scopes) {
  const { tenant: described } = document_.components.securitySchemes;
  const schemes = { "access token": { type: "http", scheme: "bearer", description: "Paste one that you have." } };
  if (tenant) {
    schemes.tenant = {
      type: "oauth2",
      description: described.description,
      flows: {
        authorizationCode: {
          authorizationUrl: tenant.authorization_endpoint,
          tokenUrl: tenant.token_endpoint,
          scopes,
        },
      },
    };
  }
  document_.components.securitySchemes = schemes;
  // Swagger UI would send the examples of fields that may be left out, such as If-Match.
  for (const parameter of Object.values(document_.components.parameters)) {
    if (!parameter.required) delete parameter.example;
  }
  for (const path of Object.values(document_.paths)) {
    for (const operation of Object.values(path)) {
      if (!operation.security || operation.security.length === 0) continue;
      const wanted = operation.security[0].tenant ?? [];
      operation.security = [...(tenant ? [{ tenant: wanted }] : []), { "access token": [] }];
    }
  }
  return document_;
}

async function start() {
  const [published, index] = await Promise.all([json("v1/openapi.json"), json("v1")]);
  const scopes = { openid: "Know who you are", profile: "Name, picture, language", email: "E-mail address", ...index.capabilities.scopes };
  const tenant = await discovered().catch((fault) => {
    tell(`No login: ${fault.message}. Paste an access token instead.`);
    return null;
  });
  const ui = SwaggerUIBundle({
    dom_id: "#docs",
    spec: withLogin(published, tenant, scopes),
    layout: "BaseLayout",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    oauth2RedirectUrl: new URL("docs/oauth2-redirect", window.location.href).href,
  });
  ui.initOAuth({
    clientId: page.clientId,
    scopes: Object.keys(scopes),
    usePkceWithAuthorizationCodeGrant: true,
    // Auth0 issues a token for this API only to who names it.
    additionalQueryStringParams: { audience: page.audience },
  });
}

start().catch((fault) => tell(`The document cannot be shown: ${fault.message}.`));
