// A certified OpenID provider (oidc-provider) with one native client that gets bound JWT access tokens for one API.
// Usage: node provider.mjs PORT AUDIENCE
import Provider from 'oidc-provider'
import { generateKeyPairSync } from 'node:crypto'

const [port, audience] = process.argv.slice(2)
const issuer = `http://127.0.0.1:${port}`
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const signingKey = { ...privateKey.export({ format: 'jwk' }), kid: 'interop-1', use: 'sig', alg: 'RS256' }
const SCOPES = 'read:profile write:profile read:email'

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'native',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/callback'],
    },
  ],
  enabledJWA: { dPoPSigningAlgValues: ['ES256', 'Ed25519', 'EdDSA', 'RS256', 'PS256'] },
  cookies: { keys: ['interop only'] },
  jwks: { keys: [signingKey] },
  scopes: ['openid', 'offline_access', ...SCOPES.split(' ')],
  ttl: { AccessToken: 600, Grant: 3600, IdToken: 600, Interaction: 600, RefreshToken: 3600, Session: 3600 },
  issueRefreshToken: async () => true,
  features: {
    devInteractions: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        audience,
        scope: SCOPES,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
})
provider.on('server_error', (_context, error) => console.error(error))

provider.listen(Number(port), '127.0.0.1')
