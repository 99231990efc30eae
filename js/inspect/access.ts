/** Which requests may see the page: those with the token, in the URL or in a cookie that the page has set. */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** Browsers send the cookies of one port to all ports of a host, so each token has a cookie of its own name. */
function cookieName(token: string): string {
  return `greenlets_inspect_${createHash('sha256').update(token).digest('hex').slice(0, 8)}`
}

/** A shorter one could be guessed. */
export const SHORTEST_TOKEN = 16

/** A new token. */
export function newToken(): string {
  return randomBytes(24).toString('base64url')
}

/** What a request says about itself. Names of headers are in lower case. */
export interface Asked {
  readonly method: string
  /** The path with the query. */
  readonly url: string
  header(name: string): string | undefined
}

/** The token of the URL; of the cookie of the page with this token, where the URL has none. */
export function tokenOf(
  asked: Asked,
  query: URLSearchParams,
  token: string,
): { readonly token: string | undefined; readonly isInUrl: boolean } {
  const name = cookieName(token)
  const inUrl = query.get('token')
  if (inUrl !== null) return { token: inUrl, isInUrl: true }
  const cookies = (asked.header('cookie') ?? '').split(';').map((cookie) => cookie.trim())
  const found = cookies.find((cookie) => cookie.startsWith(`${name}=`))
  return { token: found?.slice(name.length + 1), isInUrl: false }
}

/** Takes the same time whatever the token is. */
export function isToken(given: string | undefined, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return given !== undefined && timingSafeEqual(digest(given), digest(token))
}

/** The header that makes the browser send the token without the URL. */
export function cookieFor(token: string): string {
  return `${cookieName(token)}=${token}; HttpOnly; SameSite=Strict`
}

/** Whether a `Host` header names this machine. A page of a foreign site could reach the port by a name of its own. */
export function isLoopback(host: string | undefined): boolean {
  return host !== undefined && /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i.test(host)
}
