// Read tokens with npm's jose against a JWK Set. Stdin: {jwks, tokens, algorithms, audience, issuer, typ}, where `jwks` is the
// document as the server sent it and `tokens` names each token; stdout: the claims of those that were taken, under their names.
import { text } from 'node:stream/consumers'
import { createLocalJWKSet, errors, jwtVerify } from 'jose'

const { jwks, tokens, ...options } = JSON.parse(await text(process.stdin))
const keys = createLocalJWKSet(JSON.parse(jwks))
const taken = {}
for (const [name, token] of Object.entries(tokens)) {
  try {
    taken[name] = (await jwtVerify(token, keys, options)).payload
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw new Error(`jose fails on: ${name}`, { cause: error })
  }
}
console.log(JSON.stringify(taken))
