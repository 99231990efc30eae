/** Dumps of another process. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Extent } from '../dump/extent.ts'
import type { DumpData } from '../dump/data.ts'
import { type Answer, askThread, findWorkers } from '../dump/protocol.ts'
import { EXIT, Failure } from './failure.ts'
import { MOST_LOSSES, type Opened, Target } from './target.ts'
import { connect, type Connection } from './websocket.ts'

/** Where the process is: its id, or the port of its inspector. */
export type Address = { readonly pid: number } | { readonly host: string; readonly port: number }

/**
 * Node.js takes the signal at the first of several occasions, and opens the inspector again at the next one. A program that hangs has
 * that one when its event loop goes on, after it was closed. So it is closed once more, behind the next poll for events.
 * A signal of another `greenlets ps` that has left may come later still on a busy machine, so it is closed again after a moment. A
 * look that loses its inspector by that starts over.
 */
const CLOSE = `(() => {
  const { close } = process.getBuiltinModule('node:inspector')
  const { setImmediate, setTimeout } = process.getBuiltinModule('node:timers')
  setImmediate(() => setImmediate(close))
  setTimeout(close, 100).unref()
  close()
})()`

export class Remote {
  #opened: Promise<Opened>
  /** Undefined where only the port is known. */
  readonly #target: Target | undefined
  readonly #patience: number
  #isClosed = false

  private constructor(opened: Opened, target: Target | undefined, patience: number) {
    this.#opened = Promise.resolve(opened)
    this.#target = target
    this.#patience = patience
  }

  /**
   * @param patience how many milliseconds each thread may take to answer
   * @param timeout how many milliseconds the inspector may take
   */
  static async open(address: Address, patience: number, timeout: number): Promise<Remote> {
    if ('pid' in address) {
      const target = new Target(address.pid, timeout)
      return new Remote(await target.open(), target, patience)
    }
    const connection = await connect(address.host, address.port, timeout)
    return new Remote({ connection, isOurs: false }, undefined, patience)
  }

  /** The dump of all its threads that use greenlets. */
  async dump(extent: Extent): Promise<DumpData> {
    for (let losses = 0; ; losses++) {
      const { connection } = await this.#opened
      let failure: unknown
      try {
        const dump = await this.#ask(connection, extent)
        if (!connection.hasEnded || dump.threads.every(({ problem }) => problem === undefined)) return dump
        failure = new Failure('ended', 'the process has ended, or has closed its inspector')
      } catch (error) {
        failure = error
      }
      // Another `greenlets ps` closes the inspector when it has looked.
      if (!connection.hasEnded || this.#target === undefined || losses >= MOST_LOSSES || this.#isClosed) throw failure
      this.#opened = this.#target.open()
      await this.#opened.catch((error: unknown) => {
        throw error instanceof Failure && error.code === EXIT.ended ? failure : error
      })
    }
  }

  async #ask(connection: Connection, extent: Extent): Promise<DumpData> {
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
    this.#isClosed = true
    const opened = await this.#opened.catch(() => undefined)
    if (opened === undefined) return
    const { connection, isOurs } = opened
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
