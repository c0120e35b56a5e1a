// A verifier that fetches the key set by itself, as npm's jose does it: kept for `maxAge` milliseconds, and fetched again for an
// unknown kid, once within `cooldown`. Its first line on stdin is {url, maxAge, cooldown, algorithms, audience, issuer, typ}; each
// further line is a token, answered by a line: ok, or the code of the refusal.
import { createInterface } from 'node:readline'
import { createRemoteJWKSet, jwtVerify } from 'jose'

let keys, options
for await (const line of createInterface({ input: process.stdin })) {
  if (keys === undefined) {
    const { url, maxAge, cooldown, ...rest } = JSON.parse(line)
    keys = createRemoteJWKSet(new URL(url), { cacheMaxAge: maxAge, cooldownDuration: cooldown })
    options = rest
    continue
  }
  const said = await jwtVerify(line, keys, options).then(() => 'ok', (error) => error.code ?? String(error))
  console.log(said)
}
