// A DPoP client that nobody here wrote (openid-client) against this API: logs in, and prints one JSON line per step.
// Usage: node dpop.mjs ISSUER API ALGORITHM
import * as client from 'openid-client'

const [issuer, api, algorithm] = process.argv.slice(2)
const redirectUri = 'http://127.0.0.1:49152/callback'
const whoami = new URL('/v1/whoami', api)
const say = (step, facts) => console.log(JSON.stringify({ step, ...facts }))

// What really went over the wire to the API.
const sent = []
const recording = async (url, options) => {
  const answer = await fetch(url, options)
  if (String(url).startsWith(api)) {
    const headers = Object.fromEntries(new Headers(options.headers))
    sent.push({ headers, status: answer.status, code: (await answer.clone().json()).code })
  }
  return answer
}

const config = await client.discovery(new URL(issuer), 'native', { id_token_signed_response_alg: 'RS256' }, client.None(), {
  execute: [client.allowInsecureRequests],
  [client.customFetch]: recording,
})
config[client.customFetch] = recording
const keys = await client.randomDPoPKeyPair(algorithm)
const DPoP = client.getDPoPHandle(config, keys)

const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const start = client.buildAuthorizationUrl(config, {
  redirect_uri: redirectUri,
  scope: 'openid offline_access read:profile write:profile',
  resource: api,
  prompt: 'consent',
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
})
const tokens = await client.authorizationCodeGrant(
  config, await logIn(start), { pkceCodeVerifier: verifier, expectedState: state }, { resource: api }, { DPoP })
say('token', { token_type: tokens.token_type })

const call = (url = whoami, method = 'GET') =>
  client.fetchProtectedResource(config, tokens.access_token, url, method, undefined, undefined, { DPoP })
// openid-client retries a request that was answered with use_dpop_nonce by itself.
const first = await call()
say('first', { status: first.status, sub: (await first.json()).sub, requests: sent.map(({ status, code }) => ({ status, code })) })
sent.length = 0
const second = await call()
say('second', { status: second.status, requests: sent.map(({ status, code }) => ({ status, code })) })

const used = sent.at(-1).headers
const replayed = await fetch(whoami, { headers: used })
say('replayed', { status: replayed.status, code: (await replayed.json()).code, challenge: replayed.headers.get('www-authenticate') })

const plain = await fetch(whoami, { headers: { authorization: `Bearer ${tokens.access_token}` } })
say('as_bearer', { status: plain.status, code: (await plain.json()).code, challenge: plain.headers.get('www-authenticate') })

const me = await call(new URL('/v1/me?fields=name', api))
say('me', { status: me.status })

const renewed = await client.refreshTokenGrant(config, tokens.refresh_token, { resource: api }, { DPoP })
const after = await client.fetchProtectedResource(config, renewed.access_token, whoami, 'GET', undefined, undefined, { DPoP })
say('renewed', { token_type: renewed.token_type, status: after.status })

const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair(algorithm))
const stolen = await client.fetchProtectedResource(config, renewed.access_token, whoami, 'GET', undefined, undefined, { DPoP: thief })
  .catch((error) => error.response ?? Promise.reject(error))
say('stolen', { status: stolen.status, challenge: stolen.headers.get('www-authenticate') })

// What a browser would do: follow redirects with a jar of cookies, fill in the login form, agree, stop at the callback.
async function logIn(url) {
  const jar = new Map()
  let body
  for (let step = 0; step < 20; step += 1) {
    const answer = await fetch(url, {
      method: body ? 'POST' : 'GET',
      body,
      redirect: 'manual',
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
    })
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
      jar.set(name, value)
    }
    body = undefined
    if (answer.headers.has('location')) {
      url = new URL(answer.headers.get('location'), url)
      if (url.href.startsWith(redirectUri)) return url
      continue
    }
    const page = await answer.text()
    const action = /<form[^>]*action="([^"]+)"/.exec(page)?.[1]
    if (!action) throw new Error(`no form on ${url}: ${answer.status} ${page.slice(0, 300)}`)
    const prompt = /name="prompt" value="([^"]+)"/.exec(page)[1]
    body = new URLSearchParams(prompt === 'login' ? { prompt, login: 'ada', password: 'any' } : { prompt })
    url = new URL(action, url)
  }
  throw new Error('the login does not end')
}
