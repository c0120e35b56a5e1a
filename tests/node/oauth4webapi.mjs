// An app that signs a user in with npm's oauth4webapi, and a service that reads the app's token; both are given the issuer alone.
import { appears, asked, done } from './conversation.mjs'
import * as oauth from 'oauth4webapi'

const app = await asked()
const insecure = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(app.issuer)
const client = { client_id: app.clientId }
const authentication = app.clientSecret ? oauth.ClientSecretPost(app.clientSecret) : oauth.None()

const discovered = {}
for (const algorithm of ['oauth2', 'oidc']) {
  discovered[algorithm] = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...insecure }))
}
const server = discovered.oidc

if (app.device) {
  const asking = await oauth.deviceAuthorizationRequest(server, client, authentication, { scope: app.scope }, insecure)
  const device = await oauth.processDeviceAuthorizationResponse(server, client, asking)
  await appears(device.verification_uri_complete)
  const answer = await oauth.deviceCodeGrantRequest(server, client, authentication, device.device_code, insecure)
  const tokens = await oauth.processDeviceCodeResponse(server, client, answer)
  done({ tokens, claims: oauth.getValidatedIdTokenClaims(tokens) })
}

const verifier = oauth.generateRandomCodeVerifier()
const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
const url = new URL(server.authorization_endpoint)
url.search = new URLSearchParams({
  response_type: 'code',
  client_id: app.clientId,
  redirect_uri: app.redirectUri,
  scope: app.scope,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
  nonce,
})
const told = oauth.validateAuthResponse(server, client, new URL(await appears(url.href)), state)
const answer = await oauth.authorizationCodeGrantRequest(server, client, authentication, told, app.redirectUri, verifier, insecure)
const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer, { expectedNonce: nonce, requireIdToken: true })
await oauth.validateApplicationLevelSignature(server, answer, insecure)
const claims = oauth.getValidatedIdTokenClaims(tokens)

const profile = await oauth.userInfoRequest(server, client, tokens.access_token, insecure)
const userinfo = await oauth.processUserInfoResponse(server, client, claims.sub, profile)

const refresh = async (token) =>
  oauth.processRefreshTokenResponse(server, client, await oauth.refreshTokenGrantRequest(server, client, authentication, token, insecure))
const refreshed = await refresh(tokens.refresh_token)

const request = new Request('https://api.example/', { headers: { authorization: `Bearer ${refreshed.access_token}` } })
const read = await oauth.validateJwtAccessToken(server, request, app.audience, insecure)

let introspected
if (app.clientSecret) {
  const asking = await oauth.introspectionRequest(server, client, authentication, refreshed.access_token, insecure)
  introspected = await oauth.processIntrospectionResponse(server, client, asking)
}
await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, authentication, refreshed.refresh_token, insecure))
const refusal = await refresh(refreshed.refresh_token).then(() => 'none', (error) => error.error)

done({ claims, userinfo, tokens, refreshed, read, introspected, refusal })
