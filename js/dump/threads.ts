/**
 * Dumps of all threads of this process, by Node's inspector within the process: no port is opened, and the other threads need
 * no code for it.
 */

import type * as inspector from 'node:inspector'
import { threadId, isMainThread } from 'node:worker_threads'
import { UnsupportedRuntimeError } from '../common/errors.ts'
import type { ThreadData } from './data.ts'
import type { Extent } from './extent.ts'
import { isUntouched } from './json.ts'
import { askThread, type Channel, findWorkers } from './protocol.ts'

/** The dumps of the other threads that use greenlets, or do not answer; the main thread first. */
export async function collectOthers(extent: Extent, patience: number): Promise<ThreadData[]> {
  const { Session } = inspectorModule()
  const session = new Session()
  if (isMainThread) session.connect()
  else session.connectToMainThread()
  try {
    const root: Channel = {
      onEvent: undefined,
      ask: (method, params = {}) =>
        new Promise((resolve, reject) => {
          checkToJSON()
          session.post(method, params, (error, result) => (error === null ? resolve(result) : reject(errorOf(error))))
        }),
    }
    session.on('inspectorNotification', (message) => {
      const { method, params } = message as unknown as { method: string; params: unknown }
      root.onEvent?.(method, params)
    })
    const workers = (await findWorkers(root, patience)).filter(({ id }) => id !== threadId)
    const asked = workers.map(({ channel, id, title }) => askThread(channel, id, title, extent, patience))
    if (!isMainThread) asked.unshift(askThread(root, 0, undefined, extent, patience))
    const answers = await Promise.all(asked)
    const known = answers.filter(({ reason }) => reason !== 'unused').map(({ thread }) => thread)
    return known.toSorted((a, b) => a.threadId - b.threadId)
  } finally {
    session.disconnect()
  }
}

/** Node.js makes JSON of each message with it, and aborts the process where that is no text. */
function checkToJSON(): void {
  if (isUntouched({})) return
  throw new UnsupportedRuntimeError(
    "a dump of all Workers needs Node's inspector, which does not work while Object.prototype has a toJSON; remove that, or make a dump " +
      'in each Worker, without { workers: true }, or from outside, by npx greenlets dump PID',
  )
}

/** Without the permission, Node aborts the process when a Worker connects to the inspector. */
function inspectorModule(): typeof inspector {
  const { permission } = process as { permission?: { has(scope: string): boolean } }
  if (!process.features.inspector || (permission !== undefined && !permission.has('inspector'))) {
    throw new UnsupportedRuntimeError(
      "a dump of all Workers needs Node's inspector, which this Node.js does not have or its permissions deny; start Node " +
        'with --allow-inspector (Node.js 26), or make a dump in each Worker, without { workers: true }',
    )
  }
  return process.getBuiltinModule('node:inspector')
}

function errorOf(error: unknown): Error {
  return error instanceof Error ? error : new Error((error as { message?: string }).message)
}
