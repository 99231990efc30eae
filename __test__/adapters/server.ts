// Starts a real Express app on its own port, and makes requests to it.

import { once } from 'node:events'
import http from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import type { ExecutionContext } from 'ava'
import express, { type Express } from 'express'
import { Greenlet } from '../../js/index.ts'

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
}

export interface Site {
  readonly server: http.Server
  /** Requests '/path', or 'POST /path' with a JSON body, and resolves with the answer. */
  ask(what: string, body?: string, agent?: http.Agent): Promise<Answer>
  /** The same, with the response as a stream. `destroy()` disconnects the client. */
  visit(what: string): http.ClientRequest
}

/** Express 4 has no types of its own here. What the tests use of it is as in Express 5. */
const express4 = createRequire(import.meta.url)('express4') as typeof express
/** The versions of Express that `greenlets/express` is for. */
export const VERSIONS: readonly (readonly [name: string, make: typeof express])[] = [
  ['Express 5', express],
  ['Express 4', express4],
]

/** Starts an app and stops it at the end of the test. */
export function serve(t: ExecutionContext, addRoutes: (app: Express) => void, make = express): Promise<Site> {
  const app = make()
  // Express logs unhandled errors, except if its setting 'env' is 'test'.
  app.set('env', 'test')
  addRoutes(app)
  return listen(t, http.createServer(app))
}

export async function listen(t: ExecutionContext, server: http.Server): Promise<Site> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  const request = (what: string, options: http.RequestOptions): http.ClientRequest => {
    const [path, method = 'GET'] = what.split(' ').toReversed()
    return http.request({ host: '127.0.0.1', port, path: path!, method, agent: false, ...options })
  }
  return {
    server,
    visit: (what) =>
      request(what, {})
        .on('error', () => {})
        .end(),
    async ask(what, body, agent = undefined) {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const asked = request(what, { headers, ...(agent && { agent }) }).end(body)
      const [response] = (await once(asked, 'response')) as [http.IncomingMessage]
      let text = ''
      for await (const chunk of response.setEncoding('utf8')) text += chunk
      return { status: response.statusCode!, headers: response.headers, text }
    },
  }
}

/** The names of the live greenlets except main. */
export function others(): string[] {
  return Greenlet.all().flatMap((greenlet) => (greenlet === Greenlet.main ? [] : greenlet.name))
}
