// How these programs talk with the test: the first line of stdin says who the app is, a line of stdout is an address for the user's
// browser and is answered by the address at which the app is told, and the last line of stdout is what came of it.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const next = async () => (await lines.next()).value

export const asked = async () => JSON.parse(await next())

export const appears = async (url) => {
  console.log(url)
  return next()
}

export const done = (outcome) => {
  console.log(JSON.stringify(outcome))
  process.exit(0)
}
