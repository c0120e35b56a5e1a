// An app that signs a user in with npm's openid-client, which is given the issuer alone.
import { appears, asked, done } from './conversation.mjs'
import * as client from 'openid-client'

const app = await asked()
const authentication = app.clientSecret ? client.ClientSecretBasic(app.clientSecret) : client.None()
const config = await client.discovery(new URL(app.issuer), app.clientId, undefined, authentication, {
  execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
})

if (app.device) {
  const device = await client.initiateDeviceAuthorization(config, { scope: app.scope })
  await appears(device.verification_uri_complete)
  const tokens = await client.pollDeviceAuthorizationGrant(config, device)
  done({ tokens, claims: tokens.claims() })
}

const verifier = client.randomPKCECodeVerifier()
const [state, nonce] = [client.randomState(), client.randomNonce()]
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: app.redirectUri,
  scope: app.scope,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
  nonce,
})
const tokens = await client.authorizationCodeGrant(config, new URL(await appears(url.href)), {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
  idTokenExpected: true,
})
const claims = tokens.claims()
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
const introspected = app.clientSecret ? await client.tokenIntrospection(config, refreshed.access_token) : undefined
await client.tokenRevocation(config, refreshed.refresh_token)
const refusal = await client.refreshTokenGrant(config, refreshed.refresh_token).then(() => 'none', (error) => error.error)
const leaving = { id_token_hint: tokens.id_token, post_logout_redirect_uri: app.signedOutUri, state: 'gone' }
const left = app.clientSecret ? await appears(client.buildEndSessionUrl(config, leaving).href) : undefined

done({ claims, userinfo, tokens, refreshed, introspected, refusal, left })
