/**
 * The client of the demo, which runs in a process of its own: it gets a list of requests from the parent process, sends them to
 * the server all at once, and reports the responses.
 */

export interface ClientRequest {
  /** Method and path: `GET /orders/7`. */
  readonly line: string
  readonly body?: string
}

export interface ClientResponse {
  readonly status: number
  readonly visitor: string | null
  readonly text: string
}

export interface ClientTask {
  readonly url: string
  readonly requests: readonly ClientRequest[]
}

process.once('message', ({ url, requests }: ClientTask) => {
  void Promise.all(requests.map((request) => send(url, request))).then((responses) => {
    process.send!(responses)
    process.disconnect()
  })
})

async function send(url: string, { line, body }: ClientRequest): Promise<ClientResponse> {
  const [method, path] = line.split(' ') as [string, string]
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(new URL(path, url), { method, headers, ...(body !== undefined && { body }) })
  return { status: response.status, visitor: response.headers.get('x-visitor'), text: await response.text() }
}
