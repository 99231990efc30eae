// Waits for the end of Workers.

import type { Worker } from 'node:worker_threads'

/** The exit code of a Worker and the messages it sent. */
export interface WorkerEnding {
  readonly code: number
  readonly messages: unknown[]
}

export function ended(worker: Worker): Promise<WorkerEnding> {
  const messages: unknown[] = []
  worker.on('message', (message) => messages.push(message))
  return new Promise((resolve, reject) => {
    worker.on('error', reject)
    worker.on('exit', (code) => resolve({ code, messages }))
  })
}
