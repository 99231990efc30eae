/** Dumps of another process. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Extent } from '../dump/extent.ts'
import type { DumpData } from '../dump/data.ts'
import { type Answer, askThread, findWorkers } from '../dump/protocol.ts'
import { Failure } from './failure.ts'
import { open, type Opened } from './target.ts'
import { connect } from './websocket.ts'

/** Where the process is: its id, or the port of its inspector. */
export type Address = { readonly pid: number } | { readonly host: string; readonly port: number }

/**
 * Node.js takes the signal at the first of several occasions, and opens the inspector again at the next one. A program that hangs has
 * that one when its event loop goes on, after it was closed. So it is closed once more, behind the next poll for events.
 */
const CLOSE = `(() => {
  const { close } = process.getBuiltinModule('node:inspector')
  const { setImmediate } = process.getBuiltinModule('node:timers')
  setImmediate(() => setImmediate(close))
  close()
})()`

export class Remote {
  readonly #opened: Opened
  readonly #patience: number

  private constructor(opened: Opened, patience: number) {
    this.#opened = opened
    this.#patience = patience
  }

  /**
   * @param patience how many milliseconds each thread may take to answer
   * @param timeout how many milliseconds the inspector may take
   */
  static async open(address: Address, patience: number, timeout: number): Promise<Remote> {
    if ('pid' in address) return new Remote(await open(address.pid, timeout), patience)
    return new Remote({ connection: await connect(address.host, address.port, timeout), isOurs: false }, patience)
  }

  /** The dump of all its threads that use greenlets. */
  async dump(extent: Extent): Promise<DumpData> {
    const { connection } = this.#opened
    const patience = this.#patience
    const asked = askThread(connection, 0, undefined, extent, patience)
    // One after the other: a thread that is stopped for its dump takes no other questions.
    const main = await asked
    const workers = main.reason === 'silent' ? [] : await findWorkers(connection, patience)
    const others = await Promise.all(
      workers.map(({ channel, id, title }) => askThread(channel, id, title, extent, patience)),
    )
    // A thread that hangs may not answer.
    void connection.ask('NodeWorker.disable').catch(() => {})
    const answers = [main, ...others.toSorted((a, b) => a.thread.threadId - b.thread.threadId)]
    const dump = answers.find((answer) => answer.dump !== undefined)?.dump
    if (dump === undefined) throw failureOf(answers)
    const known = answers.filter(({ reason }) => reason !== 'unused').map(({ thread }) => thread)
    return { ...dump, threads: known }
  }

  /** Leaves the process as it was. */
  async close(): Promise<void> {
    const { connection, isOurs } = this.#opened
    if (isOurs) {
      // This ends the connection before there is an answer.
      void connection.ask('Runtime.evaluate', { expression: CLOSE }).catch(() => {})
      await Promise.race([connection.ended, sleep(this.#patience, undefined, { ref: false })])
    }
    connection.close()
  }
}

function failureOf(answers: readonly Answer[]): Failure {
  const bad = answers.find(({ reason }) => reason !== 'unused')
  if (bad === undefined) {
    return new Failure('noGreenlets', 'the process does not use greenlets: no thread of it has loaded the package')
  }
  const { reason, thread } = bad
  const kind = reason === 'old' ? 'noGreenlets' : reason === 'silent' ? 'silent' : 'error'
  return new Failure(kind, `there is no dump of the process: ${thread.problem}`)
}
