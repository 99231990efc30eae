/**
 * A process of its own: sends the requests that it is told to an URL, all at once, and reports the answers.
 */

export interface Question {
  /** As `GET /orders/7`. */
  readonly what: string
  readonly body?: string
}

export interface Answer {
  readonly status: number
  readonly visitor: string | null
  readonly text: string
}

export interface Task {
  readonly url: string
  readonly questions: readonly Question[]
}

process.once('message', ({ url, questions }: Task) => {
  void Promise.all(questions.map((question) => ask(url, question))).then((answers) => {
    process.send!(answers)
    process.disconnect()
  })
})

async function ask(url: string, { what, body }: Question): Promise<Answer> {
  const [method, path] = what.split(' ') as [string, string]
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(new URL(path, url), { method, headers, ...(body !== undefined && { body }) })
  return { status: response.status, visitor: response.headers.get('x-visitor'), text: await response.text() }
}
