// The same route in Express, behind Auth0's own middleware, with its defaults: one process, keys by JWKS.
import express from 'express';
import { auth } from 'express-oauth2-jwt-bearer';

const { PORT, TENANT_ISSUER, API_AUDIENCE, KEYS_URL } = process.env;
const app = express();

app.get(
  '/v1/whoami',
  auth({ issuer: TENANT_ISSUER, audience: API_AUDIENCE, jwksUri: KEYS_URL, tokenSigningAlg: 'RS256' }),
  (request, response) => {
    const claims = request.auth.payload;
    const now = Date.now() / 1000;
    response.json({
      sub: claims.sub,
      kind: 'user',
      issuer: claims.iss,
      client_id: claims.azp,
      audience: claims.aud,
      org_id: claims.org_id ?? null,
      scopes: claims.scope.split(' ').sort(),
      permissions: [...claims.permissions].sort(),
      issued_at: claims.iat,
      expires_at: claims.exp,
      expires_in: Math.max(0, Math.trunc(claims.exp - now)),
      auth_time: claims.auth_time ?? null,
      acr: claims.acr ?? null,
      amr: claims.amr ?? [],
      server_time: Math.trunc(now),
    });
  },
);
// Express prints the stack of a refusal otherwise.
app.use((fault, _request, response, _next) => response.status(fault.status ?? 500).json({ error: fault.message }));
app.listen(Number(PORT), '127.0.0.1');
